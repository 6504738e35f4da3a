//! The queue as its users see it: tiers, priorities, retries, expiry, batches, dead nodes, shutdown.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Db, Host, HostOptions, Sink, env, eventually};

fn idle() -> HostOptions {
    HostOptions { concurrency: 0, ..HostOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_tiers_are_three_storage_classes() {
    let db = Db::new().await;
    for (table, logged) in [("jobs", ["p", "p", "u"]), ("idempotency_keys", ["p", "p", "u"])] {
        for (n, class) in logged.into_iter().enumerate() {
            let sql = format!("SELECT relpersistence::text FROM pg_class WHERE oid = '{table}_t{}'::regclass", n + 1);
            assert_eq!(db.text(&sql).await.as_deref(), Some(class), "{table} tier {}", n + 1);
        }
    }
    assert_eq!(
        db.text("SELECT relpersistence::text FROM pg_class WHERE oid = 'effects'::regclass").await.as_deref(),
        Some("p")
    );
    let host = Host::start(&db, None, idle()).await;
    for (job_type, tier, queue) in [("guest-money", 1, "money"), ("guest", 3, "background")] {
        let id = host.client().submit(job_type, json!({"do": "ok"})).await;
        let job = host.client().job(&id).await;
        assert_eq!((job["tier"].as_i64(), job["queue"].as_str()), (Some(tier), Some(queue)));
        assert_eq!(db.count(&format!("SELECT count(*) FROM jobs_t{tier} WHERE id = '{id}'")).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_priorities_run_in_their_order_and_equals_in_order_of_submit() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle()).await;
    let client = host.client();
    let mut expected: Vec<(i64, usize, String)> = Vec::new();
    for (n, (name, number)) in
        [("low", 3), ("critical", 10), ("background", 1), ("normal", 5), ("high", 7), ("normal", 5), ("critical", 10)]
            .into_iter()
            .enumerate()
    {
        let body = json!({"type": "guest", "payload": {"do": "ok"}, "priority": name});
        let id = client.post(body.to_string()).await.body["id"].as_str().unwrap().to_owned();
        expected.push((-number, n, id));
    }
    expected.sort();
    host.terminate().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 1, ..HostOptions::default() }).await;
    for (_, _, id) in &expected {
        host.client().wait(id, "completed").await;
    }
    let order = db.text("SELECT string_agg(id::text, ' ' ORDER BY finished_at) FROM jobs_archive").await.unwrap();
    let expected: Vec<_> = expected.into_iter().map(|(_, _, id)| id).collect();
    assert_eq!(order, expected.join(" "));
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_wait_for_the_queues_delay_and_end_dead_with_all_errors_kept() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let id = host.client().submit("guest", json!({"do": "retry", "until": 99})).await;
    let job = host.client().wait(&id, "dead").await;
    assert_eq!(
        (&job["reason"], &job["attempt"], &job["maxAttempts"]),
        (&json!("retries-exhausted"), &json!(3), &json!(3))
    );
    let at = |n: usize| {
        let at = job["errors"][n]["at"].as_str().unwrap();
        at.parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    assert_eq!(job["errors"].as_array().unwrap().len(), 3);
    for n in 1..3 {
        let gap = (at(n) - at(n - 1)).to_std().unwrap();
        assert!(gap >= Duration::from_millis(200), "the queue's delay is 200 ms: {gap:?}");
    }
    let id = host.client().submit("guest-money", json!({"do": "retry", "until": 3})).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!((&job["attempt"], &job["maxAttempts"]), (&json!(3), &json!(11)), "10 retries are 11 attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_not_started_in_time_is_dead_of_expiry() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle()).await;
    let old = host.client().submit("guest-money", json!({"do": "ok"})).await;
    host.terminate().await;
    db.age("25 hours").await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let young = host.client().submit("guest-money", json!({"do": "ok"})).await;
    host.client().wait(&young, "completed").await;
    let job = host.client().wait(&old, "dead").await;
    assert_eq!((&job["reason"], &job["errors"][0]["kind"]), (&json!("expired"), &json!("expired")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_later_waits_for_its_time() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let at = chrono::Utc::now() + chrono::TimeDelta::milliseconds(1500);
    let body = json!({"type": "guest", "payload": {"do": "time"}, "runAt": at}).to_string();
    let answer = host.client().post(body).await;
    assert_eq!(answer.body["state"], "scheduled");
    let id = answer.body["id"].as_str().unwrap();
    host.client().wait(id, "completed").await;
    let early = format!("SELECT count(*) FROM jobs_archive WHERE id = '{id}' AND finished_at < run_at");
    assert_eq!(db.count(&early).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn submits_claims_and_settles_go_in_batches() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle()).await;
    let client = host.client();
    let all = (0..300).map(|n| {
        let client = client.clone();
        async move { client.submit("guest-money", json!({"do": "ok", "echo": n})).await }
    });
    futures_util::future::join_all(all).await;
    let commits = db.count("SELECT count(DISTINCT xmin::text) FROM jobs").await;
    assert!(commits < 150, "300 submits in {commits} transactions");
    host.terminate().await;
    let _host = Host::start(&db, None, HostOptions { concurrency: 200, ..HostOptions::default() }).await;
    eventually("all are done", async || (db.count("SELECT count(*) FROM jobs_archive").await == 300).then_some(()))
        .await;
    let settles = db.count("SELECT count(DISTINCT xmin::text) FROM jobs_archive").await;
    assert!(settles < 150, "300 settlements in {settles} transactions");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0, "finished jobs leave the hot table");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_nodes_jobs_run_elsewhere() {
    let db = Db::new().await;
    let mut first = Host::start(&db, None, HostOptions::default()).await;
    let id = first.client().submit("guest-slow", json!({"do": "spin", "ms": 2000})).await;
    first.client().wait(&id, "running").await;
    let second = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..HostOptions::default() }).await;
    first.kill9();
    let job = second.client().wait(&id, "completed").await;
    assert_eq!(job["attempt"], 1);
    assert!(second.log().contains("a node is dead; its jobs are ready again"));
    assert_eq!(db.count("SELECT count(*) FROM nodes").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_cannot_settle_the_next_attempt_and_starts_no_effect() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let plugins = vec!["guest-effects.wasm", "guest.wasm"];
    let first = Host::start(&db, Some(&sink), HostOptions { plugins, ..HostOptions::default() }).await;
    let spin = first.client().submit("guest-slow", json!({"do": "spin", "ms": 1500})).await;
    let steps = json!({"do": "steps", "steps": [{"do": "spin", "ms": 300}, {"do": "mail", "to": "a@example.com"}]});
    first.client().wait(&spin, "running").await;
    let mail = first.client().submit("guest-mail", steps).await;
    first.client().wait(&mail, "running").await;
    first.signal("STOP");
    // Frozen before the mail was begun, as the journal shows.
    let begun = db.count("SELECT count(*) FROM effects").await;
    let options = HostOptions { plugins: Vec::new(), ..HostOptions::default() };
    let second = Host::start(&db, Some(&sink), options).await;
    second.client().wait(&spin, "completed").await;
    second.client().wait(&mail, "completed").await;
    first.signal("CONT");
    eventually("the zombie's result is dropped", async || first.log().contains("lease lost").then_some(())).await;
    for id in [&spin, &mail] {
        assert_eq!(db.count(&format!("SELECT count(*) FROM jobs_archive WHERE id = '{id}'")).await, 1);
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
    if begun == 0 {
        assert_eq!(sink.mails().await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_finishes_what_it_can_and_gives_the_rest_back_unburned() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { grace: "1s", ..HostOptions::default() }).await;
    let short = host.client().submit("guest-slow", json!({"do": "spin", "ms": 300})).await;
    let long = host.client().submit("guest-slow", json!({"do": "spin", "ms": 8000})).await;
    for id in [&short, &long] {
        host.client().wait(id, "running").await;
    }
    assert_eq!(host.terminate().await, Some(0));
    let state = |id: &str| format!("SELECT state || ' ' || attempt FROM jobs WHERE id = '{id}'");
    assert_eq!(db.text(&state(&long)).await.as_deref(), Some("ready 0"), "given back, no attempt burned");
    assert_eq!(
        db.count(&format!("SELECT count(*) FROM jobs_archive WHERE id = '{short}' AND state = 'completed'")).await,
        1
    );
    assert_eq!(db.count("SELECT count(*) FROM nodes").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_known_type_without_a_release_wait_blocked() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    host.terminate().await;
    // A node whose policy no longer lets the release in.
    let options = HostOptions { plugins: Vec::new(), policy: Some(String::new()), ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    let answer = host.client().post(json!({"type": "guest-money", "payload": {"do": "ok"}}).to_string()).await;
    assert_eq!(answer.status, 202);
    let id = answer.body["id"].as_str().unwrap().to_owned();
    assert_eq!(host.client().job(&id).await["state"], "blocked");
    host.terminate().await;
    let host = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..HostOptions::default() }).await;
    host.client().wait(&id, "completed").await;
}

/// The SQL of the whole line, on the oldest and the newest server that the tests have.
#[tokio::test(flavor = "multi_thread")]
async fn the_sql_is_the_same_on_postgres_18() {
    let db = Db::on(&env("USHER_TEST_PG18")).await;
    assert!(db.count("SELECT current_setting('server_version_num')::bigint").await >= 180_000);
    let sink = Sink::start().await;
    let plugins = vec!["guest.wasm", "guest-effects.wasm", "payments.wasm", "notifications.wasm"];
    let mut host = Host::start(&db, Some(&sink), HostOptions { plugins, ..HostOptions::default() }).await;
    let client = host.client();
    let mail = json!({"do": "mail-then-fail-once", "to": "a@example.com"});
    let cases: Vec<(&str, Value, &str)> = vec![
        ("guest", json!({"do": "ok"}), "completed"),
        ("guest", json!({"do": "panic"}), "dead"),
        ("guest-money", json!({"do": "retry", "until": 2}), "completed"),
        ("guest-mail", mail, "completed"),
        ("guest", json!({"do": "enqueue", "type": "guest-money", "payload": {"do": "ok"}}), "completed"),
    ];
    for (job_type, payload, state) in cases {
        let id = client.submit(job_type, payload).await;
        client.wait(&id, state).await;
    }
    assert_eq!(sink.mails().await.len(), 1);
    let slow = client.submit("guest-slow", json!({"do": "spin", "ms": 2000})).await;
    client.wait(&slow, "running").await;
    host.kill9();
    let host = Host::start(&db, Some(&sink), HostOptions { plugins: Vec::new(), ..HostOptions::default() }).await;
    host.client().wait(&slow, "completed").await;
    assert_eq!(host.client().get("/jobs?limit=3").await.body["items"].as_array().unwrap().len(), 3);
}
