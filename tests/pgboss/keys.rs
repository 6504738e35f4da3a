use std::process::Command;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Old, host, import, imported};
use crate::support::{Client, Db, env, eventually, token};

fn mint(event: &str, seat: &str) -> Value {
    json!({"type": "nft-mint", "payload": {"eventId": event, "seatId": seat, "name": "Seat"}})
}

fn of(client: &Client, tenant: &str) -> Client {
    client.with_token(token("user", Some(tenant)))
}

/// A seat that the old service minted last month is not minted again: by whatever way it comes, in whatever tenant.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_last_month_holds_in_every_tenant() {
    let old = Old::start(10, 0, 10).await;
    let db = Db::new().await;
    // It runs all along: what it asks about changes under it.
    let host = host(&db).await;

    // A host of a version that may not know of such keys: while it beats, nothing comes.
    let version = db.text("SELECT version FROM nodes").await.unwrap();
    db.execute("UPDATE nodes SET version = '0.0.9'").await;
    for arguments in [&[][..], &["--apply"]] {
        let (code, report, said) = import(&old, &db, arguments).await;
        assert_eq!((code, &report["applied"]), (1, &json!(false)), "{report}");
        assert!(said.contains("(0.0.9)"), "{said}");
    }
    assert_eq!(db.count("SELECT count(*) FROM imported_keys").await, 0);
    db.execute(&format!("UPDATE nodes SET version = '{version}'")).await;

    let report = imported(&old, &db, &["--apply"]).await;
    assert_eq!(report["keys"]["imported"], 9, "{report}");

    for tenant in ["t1", "t2"] {
        let client = of(&host.client(), tenant);
        let answer = client.post(mint("e0", "s3").to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        let body = &answer.body;
        assert_eq!((&body["deduplicated"], &body["state"]), (&json!(true), &json!("completed")), "{body}");
        assert_eq!(body["result"], json!({"success": true, "data": {"assetId": "a3"}}), "as it was stored: {body}");
        assert_eq!((&body["type"], &body["tenant"]), (&json!("nft-mint"), &json!(tenant)), "{body}");
        // The derived key holds beside the caller's.
        let own = client.post_with(mint("e0", "s3").to_string(), &[("idempotency-key", "mine")]).await;
        assert_eq!((&own.body["deduplicated"], &own.body["id"]), (&json!(true), &body["id"]), "{}", own.body);
        // As a caller of its own who knows the old key.
        let named = client.post_with(mint("e0", "another").to_string(), &[("idempotency-key", "nft-e0-s3")]).await;
        assert_eq!(named.body["id"], body["id"], "{}", named.body);
    }
    let over = host.client().post(mint("e0", "over").to_string()).await;
    assert_eq!((&over.body["deduplicated"], over.status), (&Value::Null, StatusCode::ACCEPTED), "its time is over");
    let fresh = host.client().post(mint("e2", "s3").to_string()).await;
    let again = host.client().post(mint("e2", "s3").to_string()).await;
    assert_eq!((&again.body["id"], &again.body["deduplicated"]), (&fresh.body["id"], &json!(true)), "{}", again.body);

    let jobs: Vec<_> =
        [("e0", "s4"), ("e3", "s4"), ("e0", "s5")].iter().map(|(event, seat)| mint(event, seat)).collect();
    let manager = host.client().with_token(token("venue_admin", Some("t3")));
    let body = json!({ "jobs": jobs });
    let batch = manager.send(reqwest::Method::POST, "/jobs/batch", Some(body)).await;
    let outcomes: Vec<_> = batch.body["jobs"].as_array().unwrap().iter().map(|job| job["outcome"].clone()).collect();
    assert_eq!(outcomes, ["deduplicated", "created", "deduplicated"], "{}", batch.body);

    let submit = r#"SELECT usher.submit('t4', 'nft-mint', '{"eventId": "e0", "seatId": "s6", "name": "x"}')::text"#;
    let by_sql = db.text(submit).await.unwrap();
    let ended = host.admin().wait(&by_sql, "cancelled").await;
    assert_eq!(ended["errors"][0]["kind"], "deduplicated", "{ended}");
    let first = db.text("SELECT job_id::text FROM imported_keys WHERE key = 'nft-e0-s6'").await;
    assert_eq!(ended["errors"][0]["firstJob"].as_str(), first.as_deref(), "{ended}");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 3, "over, fresh, and one of the batch");

    // Where it had no rule, it hashed the type and JSON.stringify of what its queue gave it, or of what it had in hand.
    for payload in
        [r#"{ "longer":1.5, "do":"ok", "9":"\u00e9", "10":[1e21, -0] }"#, r#"{"do":"ok","as":{"it":"is"},"b":1.0}"#]
    {
        let answer = host.client().post(format!(r#"{{"type":"guest","payload":{payload}}}"#)).await;
        assert_eq!(answer.body["result"], json!({"done": 1}), "{payload}: {}", answer.body);
    }
    let other = host.client().post(r#"{"type":"guest","payload":{"do":"ok","as":{"it":"is"},"b":2}}"#).await;
    assert_eq!(other.body["deduplicated"], Value::Null, "{}", other.body);

    // A key whose time is over lets go, and a host that begins later asks from the first submit on.
    db.execute("UPDATE imported_keys SET expires_at = now() - interval '1 s' WHERE key = 'nft-e0-s1'").await;
    let free = host.client().post(mint("e0", "s1").to_string()).await;
    assert_eq!(free.body["deduplicated"], Value::Null, "{}", free.body);
    assert_eq!(host.terminate().await, Some(0));
    let later = super::host(&db).await;
    let answer = later.client().post(mint("e0", "s2").to_string()).await;
    assert_eq!(answer.body["deduplicated"], true, "{}", answer.body);
    eventually("expired keys go", async || {
        (db.count("SELECT count(*) FROM imported_keys WHERE key = 'nft-e0-s1'").await == 0).then_some(())
    })
    .await;
}

/// The corpus that the host's reader of JSON is held to is what Node writes, today's too.
#[test]
fn the_corpus_of_json_is_nodes_own() {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pgboss/corpus.mjs");
    let output = Command::new("node").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!env("USHER_TEST_NODE").is_empty());
    assert!(
        output.stdout == include_bytes!("corpus.jsonl"),
        "node tests/pgboss/corpus.mjs > tests/pgboss/corpus.jsonl"
    );
}
