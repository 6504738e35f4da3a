//! The command line: what it refuses, how it tells, and with which exit code.

use std::{fs, process::Output};

use crate::support::{Db, Host, HostOptions, Proxy, env, scratch, usher};

fn run(args: &[&str], config: Option<&str>, env: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = scratch("cli");
    let mut command = usher();
    command.args(args).current_dir(&dir).envs(env.iter().copied());
    if let Some(config) = config {
        fs::write(dir.join("usher.toml"), config).unwrap();
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

const HS256: &str = "[[auth.issuers]]\nname = \"main\"\nalgorithm = \"HS256\"\nsecret = { env = \"KEY\" }\n";
const LONG: &str = "canary-of-the-command-line-tests-0123456789";

#[tokio::test]
async fn serve_without_a_key_says_what_to_do() {
    let (code, said) = run(&["serve"], None, &[("DATABASE_URL", "postgres://u@127.0.0.1:1/x")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no default secret") && said.contains("openssl rand") && said.contains("--dev"), "{said}");
    let (code, said) = run(&["serve"], Some(HS256), &[("KEY", "short")]);
    assert_eq!(code, Some(2));
    assert!(said.contains("at least 32"), "{said}");
    let (code, said) = run(&["serve"], Some(HS256), &[("KEY", LONG)]);
    assert_eq!(code, Some(2));
    assert!(said.contains("DATABASE_URL"), "{said}");
}

#[tokio::test]
async fn faults_of_the_configuration_are_told_with_their_place() {
    let (code, said) =
        run(&["config", "check"], Some("[server]\nlisten = 7\n[wroker]\na = 1\n[worker]\nconcurency = 1\n"), &[]);
    assert_eq!(code, Some(2));
    for part in ["usher.toml: server.listen", "wroker: unknown section", "worker.concurency"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said) = run(&["config", "check", "--config", "missing.toml"], None, &[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("missing.toml"), "{said}");
    assert_eq!(run(&["nonsense"], None, &[]).0, Some(2));
}

#[tokio::test]
async fn show_and_check_name_where_secrets_come_from_and_not_what_they_are() {
    let url = "postgres://u@127.0.0.1:1/x";
    let env = [("KEY", LONG), ("USHER_WORKER__CONCURRENCY", "7"), ("DATABASE_URL", url)];
    let (code, said) = run(&["config", "show"], Some(HS256), &env);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("KEY") && said.contains("concurrency = 7") && !said.contains(LONG), "{said}");
    let (code, said) = run(&["config", "check"], Some(HS256), &env);
    assert_eq!(code, Some(0));
    assert!(said.contains("sound") && !said.contains(LONG), "{said}");
    // What `serve` would refuse is not sound: no database, no issuer, a log that is not understood.
    let (code, said) = run(&["config", "check"], Some(HS256), &env[..2]);
    assert!(code == Some(2) && said.contains("DATABASE_URL") && !said.contains("is sound"), "{said}");
    let (code, said) = run(&["config", "check"], None, &env[2..]);
    assert!(code == Some(2) && said.contains("no default secret"), "{said}");
    let (code, said) = run(&["config", "check"], Some(&format!("{HS256}[log]\nfilter = \"usher_host=loud\"\n")), &env);
    assert_eq!(code, Some(2), "{said}");
    // But `serve --dev` makes both.
    let (code, said) = run(&["config", "check", "--dev"], None, &[]);
    assert!(code == Some(0) && said.contains("sound"), "{said}");
}

#[tokio::test]
async fn a_minted_token_is_a_token_alone() {
    let (code, said) = run(&["token", "mint", "--role", "admin", "--tenant", "t1"], Some(HS256), &[("KEY", LONG)]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.trim().split('.').count(), 3);
    assert_eq!(said.lines().count(), 1);
    let (code, said) = run(&["token", "mint", "--role", "user"], Some(HS256), &[("KEY", LONG)]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--tenant"), "{said}");
    let (code, said) = run(&["token", "mint", "--role", "admin"], None, &[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--dev"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_is_idempotent_and_refuses_a_newer_database() {
    let db = Db::empty().await;
    for _ in 0..2 {
        let (code, said) = run(&["migrate"], None, &[("DATABASE_URL", &db.url)]);
        assert_eq!(code, Some(0), "{said}");
    }
    db.execute("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '', 0)").await;
    let (code, said) = run(&["migrate"], None, &[("DATABASE_URL", &db.url)]);
    assert_eq!(code, Some(1));
    assert!(said.contains("newer Usher") && said.contains("9999"), "{said}");
    let (code, said) = run(&["serve"], Some(HS256), &[("DATABASE_URL", &db.url), ("KEY", LONG)]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("newer Usher"), "{said}");
    let (code, said) = run(&["migrate"], None, &[("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/x")]);
    assert_eq!(code, Some(3));
    assert!(said.contains("127.0.0.1:1") && !said.contains("hunter2"), "{said}");
    assert_eq!(run(&["migrate"], None, &[]).0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hosts_at_once_migrate_one_empty_database() {
    let db = Db::empty().await;
    let start = || Host::start(&db, None, HostOptions::default());
    let (one, two, three) = tokio::join!(start(), start(), start());
    for host in [&one, &two, &three] {
        assert_eq!(host.client().get("/health/ready").await.status, 200);
    }
    assert_eq!(db.count("SELECT count(*) FROM nodes").await, 3);
    assert_eq!(db.count("SELECT count(*) FROM _sqlx_migrations WHERE NOT success").await, 0);
}

/// Debian has one server version only, so an old one is a proxy that changes what the real one says of itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_refused() {
    let proxy = Proxy::that_changes(&env("USHER_TEST_PG"), |answers| {
        // The answer to SHOW server_version_num: six digits in a column of its own, e.g. 150018.
        for at in 4..answers.len().saturating_sub(5) {
            let is_number = answers[at..at + 6].iter().all(u8::is_ascii_digit);
            if is_number && answers[at - 4..at] == [0, 0, 0, 6] {
                answers[at..at + 6].copy_from_slice(b"130022");
            }
        }
    })
    .await;
    let (code, said) = run(&["migrate"], None, &[("DATABASE_URL", &proxy.url)]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("too old") && said.contains("14 to 18"), "{said}");
}

#[tokio::test]
async fn what_is_not_said_of_providers_is_the_products() {
    let config = format!(
        r#"{HS256}
[upstreams.minting]
base_url = "https://minting.internal"
methods = ["POST"]
[stripe.profiles.main]
key = {{ env = "STRIPE" }}
tenants = ["*"]
[email.profiles.default]
host = "smtp.example.com"
from = "a@example.com"
[solana]
mint_key = {{ env = "KEY" }}
[solana.profiles.main]
wallet = {{ env = "WALLET" }}
tenants = ["*"]
endpoints = [{{ url = {{ env = "NODE" }} }}]
"#
    );
    // That of the seed of zeroes, as Solana's tools write it: 32 bytes of seed, 32 of public key.
    const PUBLIC: &str = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    let public = (0..32).map(|n| u8::from_str_radix(&PUBLIC[2 * n..2 * n + 2], 16).unwrap());
    let wallet: Vec<u8> = [0; 32].into_iter().chain(public).collect();
    let wallet = format!("{wallet:?}");
    let env =
        [("KEY", LONG), ("STRIPE", "sk_test_1"), ("NODE", "https://rpc.example.com"), ("WALLET", wallet.as_str())];
    let (code, said) = run(&["config", "show"], Some(&config), &env);
    assert_eq!(code, Some(0), "{said}");
    let shown = |section: &str, line: &str| {
        let start = said.find(&format!("[{section}]")).unwrap_or_else(|| panic!("{section}: {said}"));
        let end = said[start + 1..].find("\n[").map_or(said.len(), |end| start + 1 + end);
        assert!(said[start..end].lines().any(|one| one == line), "{section}: {line}: {said}");
    };
    for (section, line) in [
        ("stripe.profiles.main", "timeout = \"30s\""),
        ("stripe.profiles.main", "allow_live = false"),
        ("email.profiles.default", "timeout = \"30s\""),
        ("email.profiles.default", "on_doubt = \"resend\""),
        ("solana.profiles.main", "timeout = \"30s\""),
        ("solana.profiles.main", "commitment = \"finalized\""),
        ("solana.profiles.main", "standard = \"token-2022\""),
        ("upstreams.minting", "timeout = \"30s\""),
        ("upstreams.minting", "idempotent = false"),
        ("upstreams.minting", "on_doubt = \"park\""),
        ("webhooks", "timeout = \"10s\""),
    ] {
        shown(section, line);
    }
}
