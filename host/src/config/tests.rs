use figment::Jail;

use super::{Config, ConfigError, MetricsAuth, Pooler, RateLimits, load};

mod messages;

const CANARY: &str = "canary-4711-canary-4711-canary-4711-canary";

fn jailed(toml: &str, check: impl FnOnce(Result<Config, ConfigError>)) {
    jailed_with(toml, &[], check);
}

fn jailed_with(toml: &str, env: &[(&str, &str)], check: impl FnOnce(Result<Config, ConfigError>)) {
    #[expect(clippy::result_large_err, reason = "figment's signature")]
    Jail::expect_with(|jail| {
        jail.clear_env();
        jail.set_env("CANARY", CANARY);
        for (name, value) in env {
            jail.set_env(name, value);
        }
        jail.create_file("usher.toml", toml)?;
        check(load(Some(std::path::Path::new("usher.toml"))));
        Ok(())
    });
}

fn findings(toml: &str) -> String {
    findings_with(toml, &[])
}

fn findings_with(toml: &str, env: &[(&str, &str)]) -> String {
    let mut text = String::new();
    jailed_with(toml, env, |result| text = result.expect_err("findings").to_string());
    text
}

#[test]
fn an_empty_file_gives_the_products_queues() {
    jailed("", |config| {
        let queues = config.expect("defaults are sound").queues.0;
        assert_eq!(queues.keys().collect::<Vec<_>>(), ["background", "communication", "money"]);
        assert_eq!(queues["money"].retries, 10);
    });
}

#[test]
fn every_section_with_a_fault_is_named_with_file_and_key() {
    let text = findings("[server]\nlisten = \"nonsense\"\n[worker]\nconcurency = 3\n[nonsense]\na = 1\n");
    assert!(text.contains("usher.toml: server.listen: "), "{text}");
    assert!(text.contains("usher.toml: worker.concurency: "), "{text}");
    assert!(text.contains("nonsense: unknown section"), "{text}");
}

#[test]
fn the_environment_wins_and_its_faults_are_named_too() {
    #[expect(clippy::result_large_err, reason = "figment's signature")]
    Jail::expect_with(|jail| {
        jail.clear_env();
        jail.set_env("USHER_SERVER__LISTEN", "127.0.0.1:1");
        jail.set_env("USHER_BIN", "/not/configuration");
        assert_eq!(load(None).expect("sound").server.listen.port(), 1);
        jail.set_env("USHER_SERVER__LISTN", "x");
        let text = load(None).expect_err("unknown key").to_string();
        assert!(text.contains("environment variable") && text.contains("listn"), "{text}");
        Ok(())
    });
}

#[test]
fn a_secret_in_clear_is_refused_without_repeating_it() {
    for value in [format!("\"{CANARY}\""), "4711471147114711".to_owned(), format!("[\"{CANARY}\"]")] {
        let text = findings(&format!("[[auth.issuers]]\nname = \"a\"\nalgorithm = \"HS256\"\nsecret = {value}\n"));
        assert!(text.contains("a secret is not written here"), "{text}");
        assert!(!text.contains("canary") && !text.contains("4711"), "{text}");
    }
}

#[test]
fn a_secret_never_prints() {
    let toml = "[[auth.issuers]]\nname = \"a\"\nalgorithm = \"HS256\"\nsecret = { env = \"CANARY\" }\n";
    jailed(toml, |config| {
        let config = config.expect("sound");
        assert_eq!(config.auth.issuers[0].secret.as_ref().expect("set").expose(), CANARY);
        let shown = format!("{config:?}") + &toml::to_string(&config).expect("serialises");
        assert!(!shown.contains("canary-4711"), "{shown}");
        assert!(shown.contains("CANARY"), "{shown}");
    });
}

#[test]
fn contradictions_and_weak_secrets_are_named() {
    for (toml, said) in [
        ("[database]\nurl = { env = \"CANARY\" }\npooler = \"transaction\"\n", "database.direct_url: is missing"),
        ("[database]\ndirect_url = { env = \"CANARY\" }\n", "database.url: is missing"),
        ("[database]\npooler = \"statement\"\n", "database.pooler"),
        ("[database]\nsynchronous_commit = \"off\"\n", "database.synchronous_commit: unknown variant"),
        ("[database]\nsynchronous_commit = \"local\"\n", "database.synchronous_commit"),
        ("[database]\nsynchronous_commit = true\n", "database.synchronous_commit"),
        ("[cluster]\nheartbeat = \"9s\"\n", "cluster.heartbeat"),
        ("[plugins.require_verify]\nlast = 0\n", "plugins.require_verify: last is 1 to 10,000"),
        ("[plugins.require_verify]\nfirst = 1\n", "plugins.require_verify"),
        ("[cluster]\nconfirm_within = \"20s\"\n", "cluster.confirm_within"),
        ("[email.profiles.a]\nhost = \"h\"\nport = 25\nfrom = \"a@b.example\"\n", "email.profiles.a.security"),
        (
            "[email.profiles.a]\nhost = \"h\"\nport = 465\nsecurity = \"starttls\"\nfrom = \"a@b.example\"\n",
            "implicit TLS",
        ),
        ("[email.profiles.a]\nhost = \"h\"\nfrom = \"nobody\"\n", "email.profiles.a.from"),
        ("[upstreams.u]\nbase_url = \"ftp://h\"\nmethods = [\"GET\"]\n", "upstreams.u.base_url"),
        ("[upstreams.u]\nbase_url = \"http://u:p@h\"\nmethods = [\"GET\"]\n", "upstreams.u.base_url"),
        ("[plugins.policy.p]\nemail = [\"ghost\"]\n", "plugins.policy.p.email"),
        ("[alerts.mail]\nto = [\"ops@example.com\"]\n", "alerts.mail.profile: there is no email.profiles.default"),
        ("[alerts.mail]\nto = []\n", "alerts.mail.to: 1 to 50"),
        ("[alerts.mail]\nto = [\"Ops <ops@example.com>\"]\n", "alerts.mail.to: 1 to 50"),
        ("[alerts.mail]\nto = [\"ops@example.com\"]\nevery = \"2days\"\n", "alerts.mail.every: at most 24 hours"),
        ("[plugins.policy.p]\nwebhook = [\"a b\"]\n", "no event type"),
        ("[plugins.policy.p]\nwebhook = [\"operation.failed\"]\n", "by hosts only"),
        ("[webhooks]\nkey = \"canary-4711\"\n", "a secret is not written here"),
        ("[webhooks]\ntimeout = \"2m\"\n", "webhooks.timeout"),
        ("[webhooks]\nretries = [\"0s\"]\n", "webhooks.retries"),
        ("[webhooks]\nretries = [\"soon\"]\n", "webhooks.retries"),
        ("[webhooks]\nper_endpoint = 0\n", "webhooks.per_endpoint"),
        ("[webhooks]\nconcurrency = 4\n", "webhooks.per_endpoint"),
        ("[webhooks]\nuser_agent = \"a\\nb\"\n", "webhooks.user_agent"),
        ("[webhooks]\nallow_private = [\"10.0.0.1\"]\n", "is not host:port"),
        ("[webhooks]\nkey = { env = \"SHORT\" }\n", "SHORT is not set"),
        ("[auth.services]\nkey = \"canary-4711\"\n", "a secret is not written here"),
        ("[auth.services]\noverlap = \"91days\"\n", "auth.services.overlap: at most 90 days"),
        ("[auth.services]\nauthorities = [\"https://a.example\"]\n", "\"https://a.example\" is no host"),
        (
            "[queues.Money]\ntier = 1\nretries = 1\ndelay = \"1s\"\nbackoff = \"fixed\"\nexpiry = \"1h\"\n",
            "queues.Money",
        ),
        (
            "[queues.m]\ntier = 4\nretries = 1\ndelay = \"1s\"\nbackoff = \"fixed\"\nexpiry = \"1h\"\n",
            "tier must be 1, 2 or 3",
        ),
        ("[[auth.issuers]]\nname = \"a\"\nalgorithm = \"HS256\"\nsecret = { env = \"SHORT\" }\n", "SHORT is not set"),
        ("[[auth.issuers]]\nname = \"a\"\nalgorithm = \"RS256\"\nsecret = { env = \"CANARY\" }\n", "public_key"),
    ] {
        let text = findings(toml);
        assert!(text.contains(said), "{toml}: {text}");
        assert!(!text.contains("canary-4711"), "{text}");
    }
    #[expect(clippy::result_large_err, reason = "figment's signature")]
    Jail::expect_with(|jail| {
        jail.clear_env();
        jail.set_env("SHORT", "too-short");
        jail.create_file(
            "u.toml",
            "[[auth.issuers]]\nname = \"a\"\nalgorithm = \"HS256\"\nsecret = { env = \"SHORT\" }\n",
        )?;
        let text = load(Some(std::path::Path::new("u.toml"))).expect_err("short").to_string();
        assert!(text.contains("at least 32") && text.contains("openssl rand"), "{text}");
        jail.create_file("u.toml", "[webhooks]\nkey = { env = \"SHORT\" }\n")?;
        let text = load(Some(std::path::Path::new("u.toml"))).expect_err("short").to_string();
        assert!(text.contains("webhooks.key: has 9 bytes, at least 32"), "{text}");
        jail.create_file("u.toml", "[auth.services]\nkey = { env = \"SHORT\" }\n")?;
        let text = load(Some(std::path::Path::new("u.toml"))).expect_err("short").to_string();
        assert!(text.contains("auth.services.key: has 9 bytes, at least 32"), "{text}");
        Ok(())
    });
}

#[test]
fn a_host_without_issuer_or_database_is_not_served() {
    let text = Config::default().require_safe().expect_err("unsafe").to_string();
    assert!(text.contains("openssl rand") && text.contains("DATABASE_URL"), "{text}");
}

#[test]
fn a_straight_way_stands_beside_the_pooler_also_from_the_environment() {
    #[expect(clippy::result_large_err, reason = "figment's signature")]
    Jail::expect_with(|jail| {
        jail.clear_env();
        jail.set_env("DATABASE_URL", "postgres://u@bouncer/x");
        jail.set_env("USHER_DATABASE__POOLER", "transaction");
        jail.set_env("STRAIGHT", "postgres://u@server/x");
        jail.set_env("USHER_DATABASE__DIRECT_URL", "{ env = \"STRAIGHT\" }");
        let database = load(None).expect("sound").database;
        assert_eq!(database.pooler, Pooler::Transaction);
        assert_eq!(database.direct_url.expect("named").expose(), "postgres://u@server/x");
        Ok(())
    });
}

#[test]
fn rate_limits_stand_beside_their_patience_and_survive_being_shown() {
    let toml = "[rate_limits]\npatience = \"100ms\"\n\"provider/stripe\" = { rate = \"100/s\", burst = 50 }\n\
                \"tenant/*/provider/email\" = { rate = \"90/m\" }\n\"destination/solana/*\" = { rate = \"7/d\" }\n";
    jailed(toml, |config| {
        let limits = config.expect("sound").rate_limits;
        assert_eq!(limits.patience.as_millis(), 100);
        let of = |name: &str| limits.buckets[name];
        assert_eq!((of("provider/stripe").rate.per_second(), of("provider/stripe").burst()), (100.0, 50));
        assert_eq!((of("tenant/*/provider/email").rate.per_second(), of("tenant/*/provider/email").burst()), (1.5, 2));
        assert_eq!(of("destination/solana/*").burst(), 1);
        let shown = toml::to_string(&limits).expect("serialises");
        assert_eq!(toml::from_str::<RateLimits>(&shown).expect("the same again").buckets, limits.buckets);
    });
}

#[test]
fn a_bad_rate_limit_is_named_with_its_place() {
    for (line, said) in [
        ("\"provider/stripe\" = { rate = \"100\" }", "provider/stripe.rate: a rate is a whole number"),
        ("\"provider/stripe\" = { rate = \"0/s\" }", "provider/stripe.rate: a rate is a whole number"),
        ("\"provider/stripe\" = { rate = \"-1/s\" }", "a rate is a whole number"),
        ("\"provider/stripe\" = { rate = \"+1/s\" }", "a rate is a whole number"),
        ("\"provider/stripe\" = { rate = \"1.5/s\" }", "a rate is a whole number"),
        ("\"provider/stripe\" = { rate = \"1000001/s\" }", "a rate is a whole number"),
        ("\"provider/stripe\" = { rate = \"1/week\" }", "s, m, h or d"),
        ("\"provider/stripe\" = { rate = 100 }", "provider/stripe.rate: invalid type"),
        ("\"provider/stripe\" = \"100/s\"", "provider/stripe: invalid type"),
        ("\"provider/stripe\" = { burst = 1 }", "missing field"),
        ("\"provider/stripe\" = { rate = \"1/s\", burts = 1 }", "burts"),
        ("\"provider/stripe\" = { rate = \"1/s\", burst = 0 }", "rate_limits.\"provider/stripe\".burst: must be 1 to"),
        ("\"provider/stripe\" = { rate = \"1/s\", burst = -1 }", "provider/stripe.burst"),
        ("\"provider/strip\" = { rate = \"1/s\" }", "there is no provider \"strip\"; there are email"),
        ("\"stripe\" = { rate = \"1/s\" }", "rate_limits.\"stripe\": a bucket is provider/P"),
        ("\"tenant/a b/c/provider/stripe\" = { rate = \"1/s\" }", "a bucket is"),
        ("\"tenant/a*/provider/stripe\" = { rate = \"1/s\" }", "write / as %2F"),
        ("\"destination/upstream/ghost\" = { rate = \"1/s\" }", "there is no upstreams.ghost"),
        ("\"provider/email/ghost\" = { rate = \"1/s\" }", "there is no email.profiles.ghost"),
        ("patience = \"6s\"", "rate_limits.patience: at most 5s"),
        ("patience = 1", "rate_limits.patience"),
    ] {
        let text = findings(&format!("[rate_limits]\n{line}\n"));
        assert!(text.contains(said), "{line}: {text}");
    }
}

/// The keys of one upstream.
fn upstream(more: &str) -> String {
    format!("[upstreams.u]\nbase_url = \"http://h/v\"\nmethods = [\"POST\"]\n{more}\n")
}

#[test]
fn an_upstream_that_says_nothing_more_takes_all_paths() {
    jailed(&upstream(""), |config| {
        let config = config.expect("sound");
        let upstream = &config.upstreams["u"];
        assert!(upstream.allows_path("/any/thing"));
        assert_eq!((upstream.breaker.failures, upstream.breaker.open_for.as_secs()), (5, 30));
    });
}

#[test]
fn paths_are_one_or_a_folder() {
    jailed(&upstream("paths = [\"/\", \"/v1/mint\", \"/v2/*\"]"), |config| {
        let config = config.expect("sound");
        for (path, is_allowed) in [
            ("/", true),
            ("/v1/mint", true),
            ("/v1/mint/", false),
            ("/v1/mint2", false),
            ("/v1", false),
            ("/v2/", true),
            ("/v2/a/b", true),
            ("/v2", false),
            ("/v20", false),
        ] {
            assert_eq!(config.upstreams["u"].allows_path(path), is_allowed, "{path}");
        }
    });
}

#[test]
fn an_upstreams_faults_are_named() {
    for (more, said) in [
        ("paths = []", "upstreams.u.paths: an upstream without paths"),
        ("paths = [\"v1\"]", "upstreams.u.paths: \"v1\" is neither"),
        ("paths = [\"/v1*\"]", "upstreams.u.paths: \"/v1*\" is neither"),
        ("paths = [\"/*/x\"]", "upstreams.u.paths: \"/*/x\" is neither"),
        ("paths = [\"/a/../b\"]", "upstreams.u.paths: \"/a/../b\" is neither"),
        ("headers = { \"a b\" = \"c\" }", "upstreams.u.headers.a b: \"a b\" is no name"),
        ("headers = { A = \"\\n\" }", "upstreams.u.headers.A: the value"),
        ("headers = { A = \"1\", a = \"2\" }", "names the same header"),
        ("headers = { A = 1 }", "upstreams.u.headers.A"),
        ("headers = { A = { env = \"GHOST\" } }", "GHOST is not set"),
        ("headers = { authorization = \"x\" }", "Authorization is made of bearer, basic or google"),
        ("headers = { Host = \"x\" }", "upstreams.u.headers.Host: Host is made by the host"),
        ("tenant_header = \"Signature\"", "upstreams.u.tenant_header: Signature is made by the host"),
        ("tenant_header = \"A\"\nheaders = { a = \"1\" }", "upstreams.u.tenant_header: names the same header"),
        ("bearer = { env = \"CANARY\" }\nbasic = { username = \"u\", password = { env = \"CANARY\" } }", "keep one"),
        ("bearer = { env = \"CANARY\" }\nsignature = { key_id = \"k\", key = { env = \"CANARY\" } }", "keep one"),
        ("basic = { username = \"a:b\", password = { env = \"CANARY\" } }", "upstreams.u.basic.username"),
        ("signature = { key_id = \"k\", key = { env = \"WEAK\" } }", "upstreams.u.signature.key: has 4 bytes"),
        ("signature = { key_id = \"a\\\"b\", key = { env = \"CANARY\" } }", "upstreams.u.signature.key_id"),
        ("signature = { key_id = \"\", key = { env = \"CANARY\" } }", "upstreams.u.signature.key_id"),
        ("signature = { key_id = \"k\", key = \"canary-4711\" }", "a secret is not written here"),
        ("breaker = { open_for = \"0s\" }", "upstreams.u.breaker.open_for"),
        ("breaker = { opens = 3 }", "upstreams.u.breaker"),
    ] {
        let text = findings_with(&upstream(more), &[("WEAK", "weak")]);
        assert!(text.contains(said), "{more}: {text}");
        assert!(!text.contains("canary-4711"), "{text}");
    }
}

#[test]
fn secrets_of_upstreams_never_print() {
    let secret = "{ env = \"CANARY\" }";
    for more in [
        format!("headers = {{ X-Api-Key = {secret} }}"),
        format!("basic = {{ username = \"u\", password = {secret} }}"),
        format!("signature = {{ key_id = \"k\", key = {secret} }}"),
    ] {
        jailed(&upstream(&more), |config| {
            let config = config.expect("sound");
            let shown = format!("{config:?}") + &toml::to_string(&config).expect("serialises");
            assert!(!shown.contains("canary-4711") && shown.contains("CANARY"), "{shown}");
        });
    }
}

#[test]
#[cfg(feature = "solana")]
fn what_would_empty_a_wallet_or_mint_twice_is_a_finding() {
    let sound = "[solana]\nmint_key = { env = \"CANARY\" }\n[solana.profiles.main]\nwallet = { env = \"WALLET\" }\n\
                 tenants = [\"*\"]\nendpoints = [{ url = { env = \"RPC\" }, rate = \"10/s\", burst = 20 }]\n";
    let check = |toml: &str, check: &dyn Fn(Result<Config, ConfigError>)| {
        #[expect(clippy::result_large_err, reason = "figment's signature")]
        Jail::expect_with(|jail| {
            jail.clear_env();
            jail.set_env("CANARY", CANARY);
            jail.set_env("WALLET", format!("{:?}", solana_keypair::Keypair::new().to_bytes()));
            jail.set_env("RPC", "https://rpc.example.com/canary-4712-token");
            jail.create_file("usher.toml", toml)?;
            check(load(Some(std::path::Path::new("usher.toml"))));
            Ok(())
        });
    };
    check(sound, &|config| {
        let config = config.expect("sound");
        let limit = config.rate_limits.buckets["destination/solana/rpc.example.com:443"];
        assert_eq!((limit.rate.per_second(), limit.burst()), (10.0, 20));
        let shown = toml::to_string(&config).expect("toml");
        assert!(!shown.contains("canary-4712-token") && !shown.contains(CANARY), "{shown}");
    });
    let named = "[rate_limits]\n\"destination/solana/rpc.example.com:443\" = { rate = \"1/s\" }\n";
    check(&format!("{sound}{named}"), &|config| {
        let limit = config.expect("sound").rate_limits.buckets["destination/solana/rpc.example.com:443"];
        assert!(limit.rate.per_second() < 2.0, "the section goes first");
    });
    let more = |line: &str| format!("{sound}{line}\n");
    for (toml, says) in [
        (sound.replace("mint_key = { env = \"CANARY\" }", ""), "solana.mint_key: is missing"),
        (sound.replace("\"WALLET\"", "\"CANARY\""), "solana.profiles.main.wallet: is no key pair"),
        (sound.replace("[\"*\"]", "[]"), "solana.profiles.main.tenants: whose jobs"),
        (sound.replace("\"RPC\"", "\"CANARY\""), "solana.profiles.main.endpoints.0.url: "),
        (sound.replace("rate = \"10/s\", ", ""), "solana.profiles.main.endpoints.0.burst: goes with a rate"),
        (sound.replace("burst = 20", "burst = 0"), "solana.profiles.main.endpoints.0.burst: must be 1"),
        (more("compute_units = 1"), "solana.profiles.main.compute_units: "),
        (more("priority_fee = 1000000000"), "solana.profiles.main.priority_fee: "),
        (more("max_lamports_per_hour = 1"), "solana.profiles.main.max_lamports_per_job: "),
        (more("timeout = \"1h\""), "solana.profiles.main.timeout: 1s to 100s"),
        (more("collections = [\"none\"]"), "solana.profiles.main.collections: \"none\" is no address"),
        (more("standard = \"nft\""), "solana.profiles.main.standard: "),
        (more("[plugins.policy.p]\nsolana = [\"burn\"]"), "plugins.policy.p.solana: there is no \"burn\""),
    ] {
        check(&toml, &|config| {
            let text = config.expect_err(says).to_string();
            assert!(text.contains(says), "{says}: {text}");
            assert!(!text.contains(CANARY) && !text.contains("canary-4712"), "{text}");
        });
    }
}

#[test]
fn metrics_are_for_everybody_unless_a_token_is_required() {
    jailed("", |config| assert_eq!(config.expect("sound").metrics.auth, MetricsAuth::None));
    jailed("[metrics]\nauth = \"required\"\n", |config| {
        assert_eq!(config.expect("sound").metrics.auth, MetricsAuth::Required);
    });
    let text = findings("[metrics]\nauth = \"some\"\n");
    assert!(text.contains("usher.toml: metrics.auth: "), "{text}");
}

#[test]
fn bounds_of_what_comes_in_are_checked() {
    let text = findings(
        "[pressure]\nconnections = 0\nheader_timeout = \"1ms\"\nbodies = 1\nlive_jobs = { ghost = 1, money = 0, \"*\" = 5 }\n\
         [rate_limits]\n\"submit/tenant\" = { rate = \"1/s\" }\n\"submit/caller/*/a*\" = { rate = \"1/s\" }\n",
    );
    for part in [
        "pressure.connections: ",
        "pressure.header_timeout: ",
        "pressure.bodies: ",
        "pressure.live_jobs.ghost: there is no queues.ghost",
        "pressure.live_jobs.money: at least 1",
        "rate_limits.\"submit/tenant\": a bucket of submits is submit/tenant/T",
        "rate_limits.\"submit/caller/*/a*\": names",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("live_jobs.*"), "{text}");
    jailed(
        "[rate_limits]\n\"submit/caller/-/ops\" = { rate = \"5/m\" }\n\"submit/tenant/*\" = { rate = \"1/s\" }\n",
        |config| {
            assert_eq!(config.expect("sound").rate_limits.buckets.len(), 2);
        },
    );
}
