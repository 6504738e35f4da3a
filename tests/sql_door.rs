//! Submits by SQL, inside somebody's own transaction; by the drivers that other services use.

use std::process::Stdio;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::support::{Db, Host, HostOptions, StripeWorld, env, eventually};

fn idle() -> HostOptions {
    HostOptions { concurrency: 0, ..HostOptions::default() }
}

async fn submit(db: &Db, sql: &str) -> Result<String, String> {
    let sql = format!("SELECT usher.submit({sql})::text");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&db.pool).await.map_err(|e| e.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_there_if_and_only_if_the_caller_commits() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let call = r#"SELECT usher.submit('t1', 'guest-money', '{"do": "ok", "b": 1}')::text"#;
    let mut tx = db.pool.begin().await.unwrap();
    let lost: String = sqlx::query_scalar(call).fetch_one(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = db.pool.begin().await.unwrap();
    sqlx::query("SET LOCAL synchronous_commit = off").execute(&mut *tx).await.unwrap();
    let kept: String = sqlx::query_scalar(call).fetch_one(&mut *tx).await.unwrap();
    let durability: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(durability, "on", "a tier-1 type makes the caller's transaction durable");
    sqlx::query("SELECT usher.wake()").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let job = host.client().wait(&kept, "completed").await;
    assert_eq!(job["payload"].to_string(), r#"{"b":1,"do":"ok"}"#);
    assert!(job["submittedBy"].as_str().unwrap().starts_with("sql:"), "{job}");
    assert_eq!(kept.as_bytes()[14], b'7', "a uuid v7: {kept}");
    assert_eq!(host.client().get(&format!("/jobs/{lost}")).await.status, 404);
    // Without a wake: with the next poll.
    let later = submit(&db, r#"'t1', 'guest', '{"do": "ok"}'"#).await.unwrap();
    host.client().wait(&later, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_checked_in_sql_is_refused_there() {
    let db = Db::new().await;
    let _host = Host::start(&db, None, idle()).await;
    for (call, says) in [
        (r#"'t1', 'ghost', '{}'"#, "no plugin owns"),
        (r#"'', 'guest', '{}'"#, "tenant must have"),
        (r#"'t1', 'guest', NULL"#, "payload must be there"),
        (r#"'t1', 'guest', '{"do": '"#, "invalid input syntax for type json"),
        (r#"'t1', 'guest', to_json(repeat('x', 300000))"#, "at most 262144 bytes"),
        (r#"'t1', 'guest', '{}', key => ''"#, "key must have"),
        (r#"'t1', 'guest', '{}', run_at => 'infinity'"#, "run_at is more than a year ahead"),
        (r#"'t1', 'guest', '{}', run_at => now() + interval '2 years'"#, "run_at is more than a year ahead"),
        (r#"'t1', 'guest', '{}', priority => 'urgent'"#, "priority must be"),
        (r#"'t1', 'guest', '{}', metadata => '[]'"#, "metadata must be an object"),
        (r#"'t1', 'guest', '{}', ordering_key => ''"#, "ordering_key must have"),
        (r#"'t1', 'guest', '{}', ordering_key => 'k', run_at => now()"#, "ordering_key must have"),
    ] {
        let error = submit(&db, call).await.unwrap_err();
        assert!(error.contains(says), "{call}: {error}");
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
    // Deny, then grant.
    db.execute("CREATE ROLE nobody_in_particular").await;
    let mut tx = db.pool.begin().await.unwrap();
    sqlx::query("SET LOCAL ROLE nobody_in_particular").execute(&mut *tx).await.unwrap();
    let refused = sqlx::query("SELECT usher.wake()").execute(&mut *tx).await.unwrap_err().to_string();
    drop(tx);
    db.execute("DROP ROLE nobody_in_particular").await;
    assert!(refused.contains("permission denied"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_finds_wrong_ends_dead_with_an_alert_and_stops_no_other() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let mut good = Vec::new();
    let bad = submit(&db, r#"'t1', 'guest-money', '{"no": "step"}'"#).await.unwrap();
    for _ in 0..20 {
        good.push(submit(&db, r#"'t1', 'guest-money', '{"do": "ok"}'"#).await.unwrap());
    }
    let twice = submit(&db, r#"'t1', 'guest-money', '{"do": "ok", "do": "ok"}'"#).await.unwrap();
    for id in &good {
        host.client().wait(id, "completed").await;
    }
    for id in [&bad, &twice] {
        let job = host.client().wait(id, "dead").await;
        assert_eq!((&job["reason"], &job["attempt"]), (&json!("invalid"), &json!(0)), "{job}");
    }
    let alerts = host.client().get("/alerts?state=open").await.body;
    assert_eq!((&alerts["items"][0]["kind"], &alerts["items"][0]["count"]), (&json!("invalid-job"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_by_http_and_by_sql_runs_once() {
    let db = Db::new().await;
    let sink = crate::support::Sink::start().await;
    let world = StripeWorld::start().await;
    let card = world.stripe.payment_method("tok_visa").await;
    let plugins = vec!["guest.wasm", "payments.wasm", "notifications.wasm"];
    let options = HostOptions { plugins, ..crate::stripe::options(world.base_url()) };
    let host = Host::start(&db, Some(&sink), options).await;
    let order = json!({
        "venueId": "v1", "userId": "u1", "eventId": "e1", "amount": 5000, "currency": "EUR", "email": "a@example.com",
        "paymentMethod": card, "items": [{"name": "seat", "quantity": 2, "unitAmount": 2500}],
    });
    let by_sql = format!("'t1', 'payment-process', '{order}'");
    // At the same time, several times, through both doors.
    let client = host.client();
    let http = async {
        let body = json!({"type": "payment-process", "payload": order}).to_string();
        futures_util::future::join_all((0..10).map(|_| client.post(body.clone()))).await
    };
    let sql = futures_util::future::join_all((0..10).map(|_| submit(&db, &by_sql)));
    let (http, sql) = tokio::join!(http, sql);
    assert!(http.iter().all(|answer| answer.status == 202), "{http:?}");
    let sql: Vec<_> = sql.into_iter().map(Result::unwrap).collect();
    eventually("all are over", async || (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())).await;
    let ran =
        db.count("SELECT count(*) FROM jobs_archive WHERE job_type = 'payment-process' AND state = 'completed'").await;
    assert_eq!(ran, 1);
    let first = db
        .text("SELECT id::text FROM jobs_archive WHERE job_type = 'payment-process' AND state = 'completed'")
        .await
        .unwrap();
    for id in sql.iter().filter(|id| **id != first) {
        let job = host.client().job(id).await;
        assert_eq!((&job["state"], &job["errors"][0]["firstJob"]), (&json!("cancelled"), &json!(first)), "{job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_later_and_a_callers_key_come_through_sql_too() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let first =
        submit(&db, r#"'t1', 'guest-money', '{"do": "ok"}', key => 'k1', priority => 'high', metadata => '{"a": 1}'"#);
    let first = first.await.unwrap();
    let job = host.client().wait(&first, "completed").await;
    assert_eq!(
        (&job["priority"], &job["metadata"], &job["idempotencyKey"]),
        (&json!("high"), &json!({"a": 1}), &json!("k1"))
    );
    let client = host.client();
    let body = json!({"type": "guest-money", "payload": {"do": "ok"}}).to_string();
    let again = client.post_with(body, &[("idempotency-key", "k1")]).await;
    assert_eq!(again.body["id"], json!(first), "the same key through the other door");
    let in_line = submit(&db, r#"'t1', 'guest', '{"do": "ok"}', ordering_key => 'k'"#).await.unwrap();
    host.client().wait(&in_line, "completed").await;
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE ordering_key = 'k'").await, 1);
    let later = submit(&db, r#"'t1', 'guest', '{"do": "ok"}', run_at => now() + interval '1500 ms'"#).await.unwrap();
    host.client().wait(&later, "completed").await;
    let early = format!("SELECT count(*) FROM jobs_archive WHERE id = '{later}' AND finished_at < run_at");
    assert_eq!(db.count(&early).await, 0);
}

/// As a Python service does it: psycopg, in its own transaction, as a role of its own.
#[tokio::test(flavor = "multi_thread")]
async fn psycopg_submits_in_its_own_transaction() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let program = r#"
import sys, psycopg
from psycopg.types.json import Json
with psycopg.connect(sys.argv[1]) as db:
    db.execute("CREATE TABLE orders (id int PRIMARY KEY, job uuid)")
    job = db.execute("SELECT usher.submit(%s, %s, %s, key => %s)", ("t1", "guest-money", Json({"do": "ok", "echo": "é"}), "order-1")).fetchone()[0]
    db.execute("INSERT INTO orders VALUES (1, %s)", (job,))
with psycopg.connect(sys.argv[1], autocommit=True) as db:
    db.execute("SELECT usher.wake()")
print(job)
"#;
    let id = run(&env("USHER_TEST_PYTHON"), &["-c", program, &db.url]);
    host.client().wait(&id, "completed").await;
    assert_eq!(db.text("SELECT job::text FROM orders").await, Some(id));
}

fn run(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// As a Node service does it: pg, in its own transaction.
#[tokio::test(flavor = "multi_thread")]
async fn node_pg_submits_in_its_own_transaction() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let program = r#"
import pg from "pg";
const client = new pg.Client({ connectionString: process.argv[2] });
await client.connect();
await client.query("BEGIN");
const { rows } = await client.query("SELECT usher.submit($1, $2, $3, key => $4) AS id", ["t1", "guest-money", { do: "ok" }, "order-2"]);
await client.query("COMMIT");
await client.query("SELECT usher.wake()");
await client.end();
console.log(rows[0].id);
"#;
    let file = std::path::Path::new(&env("USHER_TEST_NODE")).join(format!("door-{}.mjs", std::process::id()));
    std::fs::write(&file, program).unwrap();
    let id = run("node", &[file.to_str().unwrap(), &db.url]);
    std::fs::remove_file(file).unwrap();
    let job: Value = host.client().wait(&id, "completed").await;
    assert_eq!(job["idempotencyKey"], "order-2");
}
