//! What is kept, for how long, and what outlives it.

use serde_json::json;

use crate::support::{Db, Host, HostOptions, eventually};

/// Moves a finished job's day into the past, as if it had ended then.
pub async fn backdate(db: &Db, id: &str, class: &str, days: i32) -> String {
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

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_purged_when_nobody_holds_them_any_more() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let submit = async |key: &str, payload: serde_json::Value| {
        let body = json!({"type": "guest-money", "payload": payload}).to_string();
        host.client().post_with(body, &[("idempotency-key", key)]).await.body["id"].as_str().unwrap().to_owned()
    };
    let ended = submit("its time is over", json!({"do": "ok"})).await;
    let holds = submit("it still holds", json!({"do": "ok"})).await;
    let dead = submit("it did nothing", json!({"do": "permanent"})).await;
    for (id, state) in [(&ended, "completed"), (&holds, "completed"), (&dead, "dead")] {
        host.client().wait(id, state).await;
    }
    host.admin().send(reqwest::Method::POST, "/queues/money/pause", None).await;
    let lives = submit("its job lives", json!({"do": "ok"})).await;
    host.terminate().await;
    // More than one batch of them, whose jobs are long forgotten.
    db.execute(
        "INSERT INTO idempotency_keys (tier, tenant, job_type, key_hash, job_id, payload_hash)
         SELECT 1, 't1', 'guest-money', sha256(n::text::bytea), gen_random_uuid(), sha256('x') FROM generate_series(1, 2500) n",
    )
    .await;
    db.execute("UPDATE idempotency_keys SET created_at = created_at - interval '23 hours'").await;
    db.execute("UPDATE jobs_archive SET finished_at = finished_at - interval '23 hours'").await;
    db.execute(&format!("UPDATE jobs_archive SET key_ttl_ms = 1000 WHERE id = '{ended}'")).await;

    let _host = Host::start(&db, None, second()).await;
    let left = "SELECT string_agg(job_id::text, ' ' ORDER BY job_id) FROM idempotency_keys";
    // The failed one's time is not over either: a purge goes by the time alone.
    let mut expected = [holds, dead, lives];
    expected.sort_unstable();
    eventually("they are gone", async || (db.text(left).await == Some(expected.join(" "))).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_counted_by_queue() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    for _ in 0..3 {
        let id = client.submit("guest-money", json!({"do": "ok"})).await;
        client.wait(&id, "completed").await;
    }
    let dead = client.submit("guest-money", json!({"do": "permanent"})).await;
    client.wait(&dead, "dead").await;
    host.admin().send(reqwest::Method::PUT, "/limits/type/guest-slow", Some(json!({"max": 0}))).await;
    client.submit("guest-slow", json!({"do": "ok"})).await;
    let later =
        json!({"type": "guest", "payload": {"do": "ok"}, "runAt": chrono::Utc::now() + chrono::TimeDelta::hours(1)});
    client.post(later.to_string()).await;
    host.admin().send(reqwest::Method::POST, "/queues/money/pause", None).await;
    client.submit("guest-money", json!({"do": "ok"})).await;
    client.submit("guest-money", json!({"do": "ok"})).await;
    host.admin().send(reqwest::Method::POST, "/queues/background/pause", None).await;
    host.terminate().await;

    let host = Host::start(&db, None, second()).await;
    let counts = eventually("they are counted", async || {
        let queue = host.admin().get("/queues/money").await.body;
        (queue["counts"]["ready"] == 2).then_some(queue)
    })
    .await;
    assert_eq!(counts["counts"], json!({"scheduled": 0, "blocked": 0, "ready": 2, "running": 0, "parked": 0}));
    assert_eq!((&counts["today"], &counts["estimated"]), (&json!({"completed": 3, "dead": 1}), &json!([])));
    let background = host.admin().get("/queues/background").await.body;
    assert_eq!(background["counts"], json!({"scheduled": 1, "blocked": 1, "ready": 0, "running": 0, "parked": 0}));
    // They are of all tenants, so they are for admins.
    assert!(host.client().get("/queues/money").await.body.get("counts").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_backlog_is_estimated_and_not_counted() {
    let db = Db::new().await;
    db.execute(
        "INSERT INTO jobs (tier, id, tenant, job_type, queue, priority, ord, state, max_attempts, payload, subject, expires_at)
         SELECT 1, gen_random_uuid(), 't1', 'ghost', 'money', 5, nextval('ready_seq'), 'ready', 1, '{}', 's', now() + interval '1 day'
         FROM generate_series(1, 60000)",
    )
    .await;
    db.execute("ANALYZE jobs").await;
    db.execute("INSERT INTO queues (name, paused) VALUES ('money', true)").await;
    let host = Host::start(&db, None, second()).await;
    let queue = eventually("they are counted", async || {
        let queue = host.admin().get("/queues/money").await.body;
        queue["sampledAt"].is_string().then_some(queue)
    })
    .await;
    assert_eq!(queue["estimated"], json!(["ready"]));
    let ready = queue["counts"]["ready"].as_i64().unwrap();
    assert!((40_000..80_000).contains(&ready), "{ready}");
}
