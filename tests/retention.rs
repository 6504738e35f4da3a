//! What is kept, for how long, and what outlives it.

use serde_json::json;

use crate::support::{Db, Host, HostOptions, eventually};

/// Moves a finished job's day into the past, as if it had ended then.
async fn backdate(db: &Db, id: &str, class: &str, days: i32) -> String {
    let day = db.text(&format!("SELECT to_char(now() - interval '{days} days', 'YYYYMMDD')")).await.unwrap();
    db.execute(&format!("SELECT usher_make_archive_days((now() - interval '{days} days')::date, 1)")).await;
    db.execute(&format!(
        "UPDATE jobs_archive SET finished_at = finished_at - interval '{days} days' WHERE id = '{id}'"
    ))
    .await;
    format!("jobs_archive_{class}_{day}")
}

async fn exists(db: &Db, table: &str) -> bool {
    db.count(&format!("SELECT count(*) FROM pg_class WHERE relname = '{table}'")).await == 1
}

fn second() -> HostOptions {
    HostOptions { plugins: Vec::new(), ..HostOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_go_when_their_time_is_over_also_after_a_host_was_off_for_a_week() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    let (tier3, tier1) =
        (client.submit("guest", json!({"do": "ok"})).await, client.submit("guest-money", json!({"do": "ok"})).await);
    for id in [&tier3, &tier1] {
        client.wait(id, "completed").await;
    }
    assert_eq!(host.terminate().await, Some(0));
    let gone = backdate(&db, &tier3, "d7", 15).await;
    let kept = backdate(&db, &tier1, "d30", 15).await;
    let outbox = gone.replace("jobs_archive_d7", "outbox");
    assert!(exists(&db, &gone).await && exists(&db, &kept).await && exists(&db, &outbox).await);
    let host = Host::start(&db, None, second()).await;
    assert!(!exists(&db, &gone).await && !exists(&db, &outbox).await, "7 days for tier 3 and for events");
    assert!(exists(&db, &kept).await, "30 days for the others");
    assert_eq!(host.client().get(&format!("/jobs/{tier3}")).await.status, 404);
    assert_eq!(db.count(&format!("SELECT count(*) FROM jobs_archive WHERE id = '{tier1}'")).await, 1);
    let ahead = db.count("SELECT count(*) FROM pg_inherits WHERE inhparent = 'jobs_archive_hold'::regclass").await;
    assert!(ahead >= 15, "{ahead} days ahead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_a_reader_is_dropped_later_and_settles_go_on() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let id = host.client().submit("guest", json!({"do": "ok"})).await;
    host.client().wait(&id, "completed").await;
    host.terminate().await;
    let day = backdate(&db, &id, "d7", 20).await;
    // As pg_dump would: a reader of the day, who takes his time.
    let mut reader = db.pool.begin().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("SELECT * FROM {day}"))).fetch_all(&mut *reader).await.unwrap();
    let host = Host::start(&db, None, second()).await;
    assert!(exists(&db, &day).await, "not behind the reader's back");
    let other = host.client().submit("guest", json!({"do": "ok"})).await;
    host.client().wait(&other, "completed").await;
    drop(reader);
    host.terminate().await;
    let _host = Host::start(&db, None, second()).await;
    eventually("the day is gone", async || (!exists(&db, &day).await).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_outlives_the_archive_with_its_result_and_goes_when_its_time_is_over() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let body = json!({"type": "guest-money", "payload": {"do": "ok"}}).to_string();
    let key = [("idempotency-key", "for a year")];
    let first = host.client().post_with(body.clone(), &key).await;
    let id = first.body["id"].as_str().unwrap().to_owned();
    host.client().wait(&id, "completed").await;
    let result = host.client().job(&id).await["result"].clone();
    host.terminate().await;
    // The type's own time is a day; as if it were a year, as nft-mint's is.
    db.execute("UPDATE jobs_archive SET key_ttl_ms = 365::bigint * 24 * 3600 * 1000").await;
    let day = backdate(&db, &id, "d30", 40).await;

    let host = Host::start(&db, None, second()).await;
    assert!(!exists(&db, &day).await);
    assert_eq!(db.count("SELECT count(*) FROM idempotency_keys").await, 1);
    let again = host.client().post_with(body.clone(), &key).await;
    assert_eq!(
        (again.status.as_u16(), &again.body["id"], &again.body["state"]),
        (200, &json!(id), &json!("completed"))
    );
    assert_eq!((again.headers["idempotency-replayed"].to_str().unwrap(), &again.body["result"]), ("true", &result));
    let other = host.client().post_with(body.replace("ok", "time"), &key).await;
    assert_eq!(other.status, 422, "another payload under the same key");

    db.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 s'").await;
    let taken = host.client().post_with(body, &key).await;
    assert_eq!(taken.status, 202, "its time is over");
    assert_ne!(taken.body["id"], json!(id));
    assert_eq!(db.count("SELECT count(*) FROM idempotency_keys WHERE expires_at IS NULL").await, 1);
}
