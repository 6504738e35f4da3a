//! A canary as each configured secret: nowhere but where it belongs.

use std::{fs, process::Command};

use base64::Engine;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    email::dkim,
    solana,
    stripe::payment,
    support::{
        Answer, Cluster, Db, Fault, FaultProxy, Host, HostOptions, Receiver, Reply, SECRET, Say, Sink, StripeWorld,
        env, eventually, host::POLICY, token, usher,
    },
    upstreams::minting,
};

const SMTP: &str = "canary-smtp-4711-password";
const BEARER: &str = "canary-bearer-4712-token";
const DATABASE: &str = "canary_database_4713_password";
const DIRECT: &str = "canary_database_4714_of_the_direct_url";
const STRIPE: &str = "sk_test_canary4715ofstripe";
const WEBHOOKS: &str = "canary-webhooks-4716-key-of-all-endpoints";
const SERVICES: &str = "canary-services-4722-key-of-all-service-keys";
const NODE: &str = "canary4717tokenofthenode";
const MINT_KEY: &str = "canary-mint-4718-key-of-the-mints-long-enough";
const BASIC: &str = "canary-basic-4719-password";
const SIGNATURE: &str = "canary-signature-4720-key-long-enough-for-hmac";
const HEADER: &str = "canary-header-4721-of-a-fixed-header";
/// What the configuration says: each by the name of an environment variable.
const CONFIG: &str = r#"
[database]
direct_url = { env = "CANARY_DIRECT" }
[upstreams.rig]
base_url = "http://RECEIVER"
methods = ["GET"]
bearer = { env = "CANARY_BEARER" }
headers = { X-Api-Key = { env = "CANARY_HEADER" } }
[upstreams.storage]
base_url = "http://RECEIVER"
methods = ["PUT"]
basic = { username = "usher", password = { env = "CANARY_BASIC" } }
[upstreams.minting]
base_url = "http://RECEIVER"
methods = ["POST"]
signature = { key_id = "k", key = { env = "CANARY_SIGNATURE" } }
[upstreams.minting-rpc]
base_url = "http://127.0.0.1:1"
methods = ["POST"]
bearer = { env = "CANARY_BEARER" }
[solana]
mint_key = { env = "CANARY_MINT_KEY" }
[solana.profiles.main]
wallet = { env = "CANARY_WALLET" }
tenants = ["t1"]
endpoints = [{ url = { env = "CANARY_NODE_AWAY" } }, { url = { env = "CANARY_NODE" } }]
commitment = "confirmed"
timeout = "4s"
"#;

/// A role of its own with all rights, and the way to this database as it.
async fn role(url: &str, password: &str) -> String {
    let mut admin = PgConnection::connect(&env("USHER_TEST_PG")).await.unwrap();
    let role = format!("r_{}", uuid::Uuid::new_v4().simple());
    let sql = format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{password}'");
    sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    let (_, server) = url.rsplit_once('@').unwrap();
    format!("postgres://{role}:{password}@{server}")
}

/// The providers that a secret is for, and the host that has all of them.
struct Rig {
    /// A line of the key that signs mails.
    dkim: String,
    sink: Sink,
    world: StripeWorld,
    stripe: FaultProxy,
    receiver: Receiver,
    /// Sends back all that it is sent.
    echo: Receiver,
    cluster: Cluster,
    /// Who gets what is minted.
    recipient: String,
    /// The wallet's key as its file has it begins so, without and with spaces; and so its secret half in base58.
    wallet: [String; 3],
    host: Host,
    /// The environment with all secrets.
    env: Vec<(&'static str, String)>,
}

impl Rig {
    async fn start(db: &mut Db) -> Self {
        let (database, direct) = (role(&db.url, DATABASE).await, role(&db.url, DIRECT).await);
        db.url.clone_from(&database);
        let sink = Sink::with_password(SMTP).await;
        let world = StripeWorld::start().await;
        let stripe = FaultProxy::start(world.base_url()).await;
        let receiver = Receiver::start().await;
        let pem = fs::read_to_string(dkim::keys().0.join("rsa.pem")).unwrap();
        let dkim = pem.lines().nth(5).unwrap().to_owned();
        let echo = Receiver::start().await;
        echo.always(Say::Echo);
        let cluster = Cluster::start().await;
        let (wallet, recipient) = (cluster.wallet().await, cluster.key().await.address);
        let bytes: Vec<u8> = serde_json::from_str(&wallet.secret).unwrap();
        let part = |by: &str| bytes[..8].iter().map(u8::to_string).collect::<Vec<_>>().join(by);
        let base58 = cluster.call("rig_base58", json!([bytes[..32].to_vec()])).await.as_str().unwrap().to_owned();
        let env = vec![
            ("CANARY_BASIC", BASIC.to_owned()),
            ("CANARY_BEARER", BEARER.to_owned()),
            ("CANARY_DKIM", pem),
            ("CANARY_DIRECT", direct),
            ("CANARY_HEADER", HEADER.to_owned()),
            ("CANARY_MINT_KEY", MINT_KEY.to_owned()),
            ("CANARY_NODE", format!("{}/{NODE}?api-key={NODE}", cluster.url())),
            ("CANARY_NODE_AWAY", format!("http://127.0.0.1:1/{NODE}")),
            ("CANARY_SERVICES", SERVICES.to_owned()),
            ("CANARY_SIGNATURE", SIGNATURE.to_owned()),
            ("CANARY_STRIPE", STRIPE.to_owned()),
            ("CANARY_WALLET", wallet.secret),
            ("CANARY_WEBHOOKS", WEBHOOKS.to_owned()),
            ("USHER_TEST_SMTP_PASSWORD", SMTP.to_owned()),
        ];
        let options = HostOptions {
            plugins: vec![
                "guest-effects.wasm",
                "guest-money.wasm",
                "guest-webhook.wasm",
                "guest-mint.wasm",
                "guest-ticket.wasm",
            ],
            policy: Some(format!("{POLICY}{}", minting::POLICY)),
            config: format!(
                "{}[stripe.profiles.main]\nkey = {{ env = \"CANARY_STRIPE\" }}\ntenants = [\"t1\"]\nbase_url = \"{}\"\n\
                 [email.profiles.default.dkim]\ndomain = \"example.com\"\nselector = \"s\"\nkey = {{ env = \"CANARY_DKIM\" }}\n\
                 [auth.services]\nkey = {{ env = \"CANARY_SERVICES\" }}\n[webhooks]\nkey = {{ env = \"CANARY_WEBHOOKS\" }}\nallow_private = [{:?}]\n",
                CONFIG.replace("RECEIVER", &echo.place()),
                stripe.base,
                receiver.place()
            ),
            env: env.clone(),
            filter: "debug",
            ..HostOptions::default()
        };
        let host = Host::start(db, Some(&sink), options).await;
        let wallet = [part(","), part(", "), base58];
        Self { dkim, sink, world, stripe, receiver, echo, cluster, recipient, wallet, host, env }
    }

    /// An endpoint's secret, which its maker is told, and nobody else.
    async fn endpoint(&self) -> String {
        let wanted = json!({"url": self.receiver.url(), "tenant": "t1"});
        let made = self.host.admin().send(Method::POST, "/webhook-endpoints", Some(wanted)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        made.body["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap().to_owned()
    }

    /// Every kind of use and of failure; what was answered.
    async fn use_all(&self) -> Vec<Value> {
        let client = self.host.client();
        let ended = async |job_type: &str, payload: Value, state: &str| {
            client.wait(&client.submit(job_type, payload).await, state).await
        };
        let mail = |to: &str| json!({"do": "mail", "to": to});
        let mut bodies = vec![ended("guest-mail", mail("a@example.com"), "completed").await];
        self.sink.faults(&["550 5.1.1 no"]).await;
        bodies.push(ended("guest-mail", mail("b@example.com"), "dead").await);
        let echoed = json!({"do": "upstream", "method": "get", "path": "/x"});
        bodies.push(ended("guest-mail", echoed, "completed").await);
        // What is sent back is no answer of a minting service, and the other one is away.
        bodies.push(ended("guest-ticket", minting::mint("ticket", "t-1"), "dead").await);
        let away = client.submit("guest-ticket", minting::mint("ticket-by-rpc", "t-1")).await;
        bodies.push(client.wait_error(&away, "effect-snooze").await);
        for (n, kind) in ["none", "lost", "cut", "broken", "busy"].into_iter().enumerate() {
            self.cluster.fault("sendTransaction", kind, 1).await;
            let mint = solana::mint(&format!("seat-{n}"), &self.recipient);
            bodies.push(ended("guest-mint", mint, "completed").await);
        }

        let declined = self.world.stripe.payment_method("tok_visa_chargeDeclined").await;
        bodies.push(ended("guest-money", payment(&declined), "dead").await);
        // Stripe shows the end of a key that it does not know.
        self.stripe.on("POST /v1/payment_intents", 1, Fault::Answer(Reply::error(401, "api_key_invalid")));
        bodies.push(ended("guest-money", payment("pm_card_visa"), "dead").await);
        self.stripe.on("POST /v1/payment_intents", 1, Fault::CutAfter);
        let card = self.world.stripe.payment_method("tok_visa").await;
        bodies.push(ended("guest-money", payment(&card), "completed").await);

        let publish = json!({"do": "publish", "event": "guest.happened", "data": 1});
        bodies.push(ended("guest-webhook", publish, "completed").await);
        // Four have failed, one has happened.
        self.receiver.wait(5).await;

        // With their headers.
        bodies.push(whole(&client.post("{").await));
        bodies.push(whole(&client.post(r#"{"type":"ghost","payload":{}}"#).await));
        bodies.push(whole(&client.post(json!({"type": "guest-mail", "payload": {"do": "ok"}}).to_string()).await));
        bodies.push(whole(&client.with_token(token("user", Some("t1")) + "x").get("/jobs").await));
        for path in ["/health", "/health/live", "/health/ready", "/plugins", "/jobs", "/effects", "/queues", "/ghost"] {
            bodies.push(whole(&client.get(path).await));
        }
        for path in
            ["/effects", "/webhook-endpoints", "/providers", "/rate-limits", "/alerts", "/queues", "/queues/money"]
        {
            bodies.push(whole(&self.host.admin().get(path).await));
        }
        bodies.push(whole(&self.host.admin().send(Method::POST, "/providers/stripe/resume", None).await));
        bodies
            .push(whole(&self.host.admin().send(Method::PUT, "/rate-limits/stripe", Some(json!({"rate": "x"}))).await));
        bodies
    }

    /// A guest that looks through all of its memory after it has used each credential by name.
    async fn scan(&self, secrets: &[&str]) -> Value {
        let card = self.world.stripe.payment_method("tok_visa").await;
        let needles: Vec<_> = secrets.iter().map(|secret| needle(secret)).collect();
        let scan = json!({"do": "steps", "steps": [
            {"do": "mail", "to": "c@example.com"},
            payment(&card),
            {"do": "upstream", "method": "get", "path": "/x"},
            {"do": "scan-memory", "needles": needles},
            {"do": "scan-memory", "needles": [needle("planted-to-be-found")], "plant": true},
            {"do": "progress", "percent": 50, "note": "half of it"},
        ]});
        let client = self.host.client();
        let scan = client.submit("guest-money", scan).await;
        let found = client.wait(&scan, "completed").await["result"].clone();
        assert_eq!(found[1]["status"], "succeeded", "{found}");
        assert_found_nothing(&found[3]);
        assert_found_something(&found[4]);
        let mint = json!({"do": "steps", "steps": [
            solana::mint("scanned", &self.recipient), {"do": "scan-memory", "needles": needles},
        ]});
        let minted = client.wait(&client.submit("guest-mint", mint).await, "completed").await["result"].clone();
        assert_found_nothing(&minted[1]);
        json!([found, minted])
    }

    /// What `usher config show` prints: where each secret comes from.
    fn config_show(&self, database: &str) -> String {
        let show = usher()
            .args(["config", "show", "--config"])
            .arg(self.host.data_dir.join("usher.toml"))
            .env("DATABASE_URL", database)
            .env("USHER_TEST_JWT", SECRET)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let show = String::from_utf8_lossy(&show.stdout).into_owned() + &String::from_utf8_lossy(&show.stderr);
        for source in self.env.iter().map(|(name, _)| *name).chain(["DATABASE_URL", "USHER_TEST_JWT"]) {
            assert!(show.contains(source), "{source}: {show}");
        }
        show
    }
}

/// As the guest wants its needles, so that looking for one does not put it into memory: hex, each byte XOR 0x5a.
fn needle(text: &str) -> String {
    text.bytes().map(|byte| format!("{:02x}", byte ^ 0x5a)).collect()
}

/// An answer, headers and all.
fn whole(answer: &Answer) -> Value {
    json!([answer.status.as_u16(), format!("{:?}", answer.headers), answer.body])
}

fn dump(url: &str) -> String {
    let dump = Command::new("pg_dump").arg(url).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    String::from_utf8_lossy(&dump.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_in_logs_database_answers_or_guests() {
    let mut db = Db::new().await;
    let plain = db.url.clone();
    let rig = Rig::start(&mut db).await;
    let endpoint = rig.endpoint().await;
    let secrets: Vec<_> =
        [SMTP, BEARER, DATABASE, DIRECT, STRIPE, WEBHOOKS, SERVICES, NODE, MINT_KEY, BASIC, SIGNATURE, HEADER, SECRET]
            .into_iter()
            .chain([&*endpoint, &*rig.dkim])
            .chain(rig.wallet.iter().map(String::as_str))
            .collect();
    let mut bodies = rig.use_all().await;
    bodies.push(rig.scan(&secrets).await);
    // The providers were told.
    assert!(
        rig.stripe
            .seen()
            .iter()
            .all(|seen| { seen.request.header("authorization") == Some(&format!("Bearer {STRIPE}")) })
    );

    let echoed = rig.echo.received();
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("usher:{BASIC}"));
    for (name, value) in [
        ("authorization", format!("Bearer {BEARER}")),
        ("authorization", format!("Basic {pair}")),
        ("x-api-key", HEADER.to_owned()),
    ] {
        assert!(echoed.iter().any(|came| came.headers.get(name) == Some(&value)), "nobody was told {name}: {value}");
    }
    assert!(echoed.iter().any(|came| came.headers.contains_key("signature")));
    assert_eq!(rig.cluster.mints().await.len(), 6);

    // Progress is told at debug level, so the level is on.
    let is_there = |log: &String| log.lines().any(|line| line.contains("DEBUG") && line.contains("half of it"));
    let log = eventually("the debug log is there", async || Some(rig.host.log()).filter(is_there)).await;
    let dump = dump(&plain);
    for part in ["a***@example.com", "create-payment-intent", "guest.happened", "generic_decline", "mint-nft"] {
        assert!(dump.contains(part), "the dump holds the journal: {part}");
    }
    // Bodies of upstreams are journaled in base64.
    let bodies_kept = "SELECT string_agg(effect -> 'answer' -> 'value' ->> 'body', ' ') \
                       FROM jobs_archive, jsonb_array_elements(journal::jsonb) AS effect WHERE effect ->> 'provider' = 'upstream'";
    let kept = db.text(bodies_kept).await.unwrap();
    assert!(kept.split(' ').count() > 2, "{kept}");
    for body in kept.split(' ') {
        let body = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        bodies.push(String::from_utf8_lossy(&body).into_owned().into());
    }
    let show = rig.config_show(&db.url);
    // As SMTP's AUTH writes a password, and as HTTP would a key or a pair.
    for form in
        [format!("\0u\0{SMTP}"), SMTP.to_owned(), format!("{STRIPE}:"), WEBHOOKS.to_owned(), format!("usher:{BASIC}")]
    {
        let form = base64::engine::general_purpose::STANDARD.encode(form);
        assert!(!log.contains(&form) && !dump.contains(&form), "{form}, which is base64");
        assert!(bodies.iter().all(|body| !body.to_string().contains(&form)), "{form}, which is base64");
    }
    for secret in secrets {
        assert!(!show.contains(secret), "{secret} in config show");
        assert!(!log.contains(secret), "{secret} in the log");
        assert!(!dump.contains(secret), "{secret} in the database");
        for body in &bodies {
            assert!(!body.to_string().contains(secret), "{secret} in {body}");
        }
    }
}

/// The guest answers with counts; none may be above zero.
fn assert_found_nothing(scan: &Value) {
    assert!(numbers(scan, "found").iter().all(|n| *n == 0), "{scan}");
}

fn assert_found_something(scan: &Value) {
    assert!(numbers(scan, "found").iter().any(|n| *n > 0), "the scan can find: {scan}");
}

fn numbers(value: &Value, key: &str) -> Vec<u64> {
    let found = &value[key];
    let list = found.as_array().cloned().unwrap_or_else(|| vec![found.clone()]);
    let numbers: Vec<_> = list.iter().filter_map(Value::as_u64).collect();
    assert!(!numbers.is_empty(), "{value}");
    numbers
}
