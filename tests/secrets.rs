//! A canary as each configured secret: nowhere but where it belongs.

use std::process::Command;

use base64::Engine;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Db, Host, HostOptions, Sink, env, eventually, token, usher};

const SMTP: &str = "canary-smtp-4711-password";
const BEARER: &str = "canary-bearer-4712-token";
const DATABASE: &str = "canary_database_4713_password";

/// As the guest wants its needles, so that looking for one does not put it into memory: hex, each byte XOR 0x5a.
fn needle(text: &str) -> String {
    text.bytes().map(|byte| format!("{:02x}", byte ^ 0x5a)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_in_logs_database_answers_or_guests() {
    let mut db = Db::new().await;
    // The database's password is a canary, too: a role of its own with all rights on this database.
    let mut admin = PgConnection::connect(&env("USHER_TEST_PG")).await.unwrap();
    let role = format!("r_{}", uuid::Uuid::new_v4().simple());
    let sql = format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{DATABASE}'");
    sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    let plain = db.url.clone();
    let (_, server) = plain.rsplit_once('@').unwrap();
    db.url = format!("postgres://{role}:{DATABASE}@{server}");

    let sink = Sink::with_password(SMTP).await;
    let config = "[upstreams.rig]\nbase_url = \"http://127.0.0.1:1\"\nmethods = [\"GET\"]\nbearer = { env = \"CANARY_BEARER\" }\n";
    let options = HostOptions {
        plugins: vec!["guest-effects.wasm", "guest.wasm"],
        config: config.to_owned(),
        env: vec![("CANARY_BEARER", BEARER.to_owned()), ("USHER_TEST_SMTP_PASSWORD", SMTP.to_owned())],
        filter: "debug",
        ..HostOptions::default()
    };
    let host = Host::start(&db, Some(&sink), options).await;
    let client = host.client();
    let secrets = [SMTP, BEARER, DATABASE, crate::support::SECRET];

    // Every kind of use: a mail, a refused mail, an upstream that is away, bad input, forged tokens.
    let mail = client.submit("guest-mail", json!({"do": "mail", "to": "a@example.com"})).await;
    client.wait(&mail, "completed").await;
    sink.faults(&["550 5.1.1 no"]).await;
    let refused = client.submit("guest-mail", json!({"do": "mail", "to": "b@example.com"})).await;
    client.wait(&refused, "dead").await;
    let away = client.submit("guest-mail", json!({"do": "upstream", "method": "get", "path": "/x"})).await;
    client.wait_error(&away, "effect-snooze").await;
    let mut bodies: Vec<Value> = Vec::new();
    bodies.push(client.post("{").await.body);
    bodies.push(client.post(r#"{"type":"ghost","payload":{}}"#).await.body);
    bodies.push(client.with_token(token("user", Some("t1")) + "x").get("/jobs").await.body);
    bodies.push(client.get("/health/ready").await.body);
    bodies.push(client.get("/plugins").await.body);
    for id in [&mail, &refused, &away] {
        bodies.push(client.job(id).await);
    }

    // A guest that looks through all of its memory, after it has used a credential by name.
    let needles: Vec<_> = secrets.iter().map(|secret| needle(secret)).collect();
    let scan = json!({"do": "steps", "steps": [
        {"do": "mail", "to": "c@example.com"},
        {"do": "scan-memory", "needles": needles},
        {"do": "scan-memory", "needles": [needle("planted-to-be-found")], "plant": true},
        {"do": "progress", "percent": 50, "note": "half of it"},
    ]});
    let scan = client.submit("guest-mail", scan).await;
    let found = client.wait(&scan, "completed").await["result"].clone();
    bodies.push(found.clone());
    assert_found_nothing(&found[1]);
    assert_found_something(&found[2]);

    // Progress is told at debug level, so the level is on.
    let is_there = |log: &String| log.lines().any(|line| line.contains("DEBUG") && line.contains("half of it"));
    let log = eventually("the debug log is there", async || Some(host.log()).filter(is_there)).await;
    let dump = Command::new("pg_dump").arg(&plain).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("a***@example.com"), "the dump holds the journal");
    let show = usher()
        .args(["config", "show", "--config"])
        .arg(host.data_dir.join("usher.toml"))
        .env("DATABASE_URL", &db.url)
        .env("USHER_TEST_JWT", crate::support::SECRET)
        .env("USHER_TEST_SMTP_PASSWORD", SMTP)
        .env("CANARY_BEARER", BEARER)
        .output()
        .unwrap();
    let show = String::from_utf8_lossy(&show.stdout).into_owned() + &String::from_utf8_lossy(&show.stderr);
    for source in ["DATABASE_URL", "USHER_TEST_JWT", "USHER_TEST_SMTP_PASSWORD", "CANARY_BEARER"] {
        assert!(show.contains(source), "{source}: {show}");
    }
    // As SMTP's AUTH writes a password.
    for form in [format!("\0u\0{SMTP}"), SMTP.to_owned()] {
        let form = base64::engine::general_purpose::STANDARD.encode(form);
        assert!(!log.contains(&form) && !dump.contains(&form), "the SMTP password in base64");
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
