//! Limits of concurrency, and lines of jobs that run one after another.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Db, Host, HostOptions, eventually};

fn second() -> HostOptions {
    HostOptions { plugins: Vec::new(), ..HostOptions::default() }
}

async fn in_line(client: &Client, key: &str, payload: Value) -> String {
    let answer = client.post(json!({"type": "guest-money", "payload": payload, "orderingKey": key}).to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

async fn done(db: &Db) {
    eventually("all are done", async || (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())).await;
}

/// Watches until all are done; the most that were ready or running at once.
async fn most(db: &Db, of: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM jobs WHERE ord IS NOT NULL AND {of}");
    let mut most = 0;
    eventually("all are done", async || {
        most = most.max(db.count(&sql).await);
        (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())
    })
    .await;
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_one_ordering_key_run_one_after_another_on_two_nodes() {
    let db = Db::new().await;
    let first = Host::start(&db, None, HostOptions::default()).await;
    let other = Host::start(&db, None, second()).await;
    let clients = [first.client(), other.client()];
    let mut lines = vec![Vec::new(), Vec::new()];
    for n in 0..12 {
        // The second of each line fails twice, and those behind it wait for it.
        let payload = if n / 2 == 1 { json!({"do": "retry", "until": 3}) } else { json!({"do": "ok", "echo": n}) };
        lines[n % 2].push(in_line(&clients[n / 2 % 2], &format!("line {}", n % 2), payload).await);
    }
    done(&db).await;
    for line in &lines {
        let ended =
            "SELECT string_agg(id::text, ' ' ORDER BY finished_at, id) FROM jobs_archive WHERE id::text = ANY ('{";
        let ended = db.text(&format!("{ended}{}}}')", line.join(","))).await.unwrap();
        assert_eq!(ended, line.join(" "), "in order of submit, the one that failed included");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_goes_on_behind_a_cancelled_or_dead_job_and_a_retry_joins_its_end() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    host.admin().send(Method::POST, "/queues/money/pause", None).await;
    let dead = in_line(&client, "k", json!({"do": "permanent"})).await;
    let cancelled = in_line(&client, "k", json!({"do": "ok"})).await;
    let last = in_line(&client, "k", json!({"do": "ok"})).await;
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE waits = 'turn'").await, 2);
    assert_eq!(client.job(&last).await["state"], "blocked");
    assert_eq!(host.admin().send(Method::DELETE, &format!("/jobs/{cancelled}"), None).await.status, 200);
    host.admin().send(Method::POST, "/queues/money/resume", None).await;
    client.wait(&last, "completed").await;
    client.wait(&dead, "dead").await;
    assert_eq!(host.admin().send(Method::POST, &format!("/jobs/{dead}/retry"), None).await.status, 202);
    eventually("it ran again", async || {
        let job = client.job(&dead).await;
        (job["state"] == "dead" && job["errors"].as_array().unwrap().len() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_a_type_holds_on_two_nodes_and_changes_at_run_time() {
    let db = Db::new().await;
    let first = Host::start(&db, None, HostOptions::default()).await;
    let _other = Host::start(&db, None, second()).await;
    let limit =
        async |max: Value| first.admin().send(Method::PUT, "/limits/type/guest-slow", Some(json!({"max": max}))).await;
    assert_eq!(limit(json!(2)).await.status, 200);
    let client = first.client();
    for _ in 0..8 {
        client.submit("guest-slow", json!({"do": "spin", "ms": 150})).await;
    }
    let shown = first.admin().get("/limits").await.body;
    assert_eq!((&shown["limits"][0]["scope"], &shown["limits"][0]["max"]), (&json!("type/guest-slow"), &json!(2)));
    // Others are not held up by those that wait.
    let free = client.submit("guest", json!({"do": "ok"})).await;
    client.wait(&free, "completed").await;
    assert!(most(&db, "job_type = 'guest-slow'").await <= 2);

    // Nothing at all, then more; what waits is let go as far as it goes.
    assert_eq!(limit(json!(0)).await.status, 200);
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(client.submit("guest-slow", json!({"do": "ok"})).await);
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE waits = 'slot'").await, 6);
    assert_eq!(client.job(&ids[0]).await["state"], "blocked");
    assert_eq!(limit(json!(1)).await.status, 200);
    assert!(most(&db, "job_type = 'guest-slow'").await <= 1);
    assert_eq!(limit(json!(0)).await.status, 200);
    let last = client.submit("guest-slow", json!({"do": "ok"})).await;
    assert_eq!(limit(Value::Null).await.status, 200);
    client.wait(&last, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_a_queue_counts_all_its_types_and_survives_its_holders_death() {
    let db = Db::new().await;
    let mut first = Host::start(&db, None, HostOptions::default()).await;
    let set = first.admin().send(Method::PUT, "/limits/queue/background", Some(json!({"max": 1}))).await;
    assert_eq!(set.status, 200);
    let slow = first.client().submit("guest-slow", json!({"do": "spin", "ms": 3000})).await;
    first.client().wait(&slow, "running").await;
    let behind = first.client().submit("guest", json!({"do": "retry", "until": 2})).await;
    let last = first.client().submit("guest-large", json!({"do": "ok"})).await;
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE waits = 'slot'").await, 2);
    let other = Host::start(&db, None, second()).await;
    first.kill9();
    let client = other.client();
    for id in [&slow, &behind, &last] {
        client.wait(id, "completed").await;
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE state = 'completed'").await, 3);
}

/// The node has heard what now binds it.
async fn heard(host: &Host, limits: &str) {
    eventually("the node has heard of its limits", async || {
        let log = host.log();
        log.lines()
            .rfind(|line| line.contains("other limits of this node"))
            .filter(|line| line.contains(limits))
            .map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_each_node_hold_on_two_nodes_and_change_at_run_time() {
    let db = Db::new().await;
    let first = Host::start(&db, None, HostOptions::default()).await;
    let other = Host::start(&db, None, second()).await;
    let limit = async |scope: &str, max: Value| {
        let answer = first.admin().send(Method::PUT, &format!("/limits/{scope}"), Some(json!({"max": max}))).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let client = first.client();
    let spin = async || {
        for _ in 0..12 {
            client.submit("guest-slow", json!({"do": "spin", "ms": 120})).await;
        }
    };
    let on_one = "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM jobs WHERE state = 'running' \
                  AND job_type = 'guest-slow' GROUP BY node) AS x";
    let in_all = "SELECT count(*) FROM jobs WHERE ord IS NOT NULL AND job_type = 'guest-slow'";
    // By scope: how both hosts show it, a type beside which it leaves room, what is counted, and how many there may be.
    for (scope, shown, free, counted, most) in [
        ("node", "all: Some(2)", None, on_one, 2),
        ("node/queue/background", "\"background\": 2", Some("guest-money"), on_one, 2),
        ("node/type/guest-slow", "\"guest-slow\": 2", Some("guest"), in_all, 4),
    ] {
        limit(scope, json!(2)).await;
        for host in [&first, &other] {
            heard(host, shown).await;
        }
        spin().await;
        if let Some(free) = free {
            let id = client.submit(free, json!({"do": "ok"})).await;
            client.wait(&id, "completed").await;
        }
        let mut seen = 0;
        eventually("all are done", async || {
            seen = seen.max(db.count(counted).await);
            (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())
        })
        .await;
        assert!((1..=most).contains(&seen), "{scope}: {seen}");
        limit(scope, Value::Null).await;
        heard(&first, "all: None, queues: {}, types: {}").await;
    }
    assert_eq!(first.admin().get("/limits").await.body["limits"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_does_not_stand_in_anothers_way() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    let limit = async |scope: &str, max: i32| {
        host.admin().send(Method::PUT, &format!("/limits/{scope}"), Some(json!({"max": max}))).await
    };
    limit("type/guest-slow", 0).await;
    limit("type/guest", 1).await;
    host.client().submit("guest-slow", json!({"do": "ok"})).await;
    // More than one look takes, and before the other in every order.
    db.execute(
        "INSERT INTO jobs (tier, id, tenant, job_type, queue, priority, lane, run_at, state, waits, limited, max_attempts,
                           payload, subject, expires_at)
         SELECT tier, gen_random_uuid(), tenant, job_type, queue, 10, lane, run_at, state, waits, limited, max_attempts,
                payload, subject, expires_at FROM jobs, generate_series(1, 3000)",
    )
    .await;
    let first = host.client().submit("guest", json!({"do": "ok"})).await;
    let second = host.client().submit("guest", json!({"do": "ok"})).await;
    assert_eq!(host.client().job(&first).await["state"], "ready");
    assert_eq!(host.client().job(&second).await["state"], "blocked");
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE waits = 'slot' AND job_type = 'guest-slow'").await, 3_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_told() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    let at = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    for (more, pointer) in [
        (json!({"orderingKey": ""}), "/orderingKey"),
        (json!({"orderingKey": "x".repeat(256)}), "/orderingKey"),
        (json!({"orderingKey": "a\u{7}"}), "/orderingKey"),
        (json!({"orderingKey": 7}), "/orderingKey"),
        (json!({"orderingKey": "k", "runAt": at}), "/runAt"),
    ] {
        let mut body = json!({"type": "guest", "payload": {"do": "ok"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = host.client().post(body.to_string()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}");
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
    let put = async |path: &str, body: Value| host.admin().send(Method::PUT, path, Some(body)).await.status.as_u16();
    for (path, body, status) in [
        ("/limits/type/ghost", json!({"max": 1}), 404),
        ("/limits/colour/red", json!({"max": 1}), 404),
        ("/limits/node/colour/red", json!({"max": 1}), 404),
        ("/limits/node/type/ghost", json!({"max": 1}), 404),
        ("/limits/node", json!({"max": -1}), 422),
        ("/limits/queue/money", json!({"max": -1}), 422),
        ("/limits/queue/money", json!({"max": 1.5}), 422),
        ("/limits/queue/money", json!({}), 422),
    ] {
        assert_eq!(put(path, body).await, status, "{path}");
    }
    assert_eq!(host.client().send(Method::PUT, "/limits/queue/money", Some(json!({"max": 1}))).await.status, 403);
}
