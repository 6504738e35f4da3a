//! `POST /jobs/batch`: many jobs in one request.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Db, Host, HostOptions, eventually, token};

async fn post(client: &Client, jobs: impl Into<Value>) -> Answer {
    client.send(Method::POST, "/jobs/batch", Some(json!({"jobs": jobs.into()}))).await
}

fn venue_admin(host: &Host) -> Client {
    host.client().with_token(token("venue_admin", Some("t1")))
}

fn outcomes(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["jobs"].as_array().unwrap().iter().map(|job| job["outcome"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_of_two_tiers_land_in_order_and_run() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let types = ["guest", "guest-money", "guest-large"];
    let jobs: Vec<_> = (0..1_000)
        .map(|n| json!({"type": types[n % 3], "payload": {"do": "ok", "echo": n}, "idempotencyKey": format!("k{n}")}))
        .collect();
    let client = venue_admin(&host);
    let answer = post(&client, jobs.clone()).await;
    assert!(outcomes(&answer).iter().all(|outcome| *outcome == "created"));
    eventually("all have run", async || {
        (db.count("SELECT count(*) FROM jobs_archive WHERE state = 'completed'").await == 1_000).then_some(())
    })
    .await;
    for n in [0, 1, 2, 999] {
        let job = client.job(answer.body["jobs"][n]["id"].as_str().unwrap()).await;
        assert_eq!((&job["payload"]["echo"], &job["type"]), (&json!(n), &json!(types[n % 3])));
    }
    // The same again: nothing new, the same ids.
    let again = post(&client, jobs).await;
    assert!(outcomes(&again).iter().all(|outcome| *outcome == "replayed"));
    assert_eq!(again.body["jobs"][7]["id"], answer.body["jobs"][7]["id"]);
    assert_eq!(db.count("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM jobs_archive)").await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_hears_of_its_own_key() {
    let db = Db::new().await;
    let plugins = vec!["guest.wasm", "analytics.wasm", "payments.wasm"];
    let host = Host::start(&db, None, HostOptions { plugins, concurrency: 0, ..HostOptions::default() }).await;
    let client = venue_admin(&host);
    let ok =
        |key: &str, echo: u32| json!({"type": "guest", "payload": {"do": "ok", "echo": echo}, "idempotencyKey": key});
    let payment = json!({"type": "payment-process", "payload": {
        "venueId": "v", "userId": "u", "eventId": "e", "amount": 100, "currency": "EUR", "email": "a@example.com",
        "paymentMethod": "pm_1", "items": [{"name": "Seat", "quantity": 1, "unitAmount": 100}]}});
    // Twice in one request: the first one wins, by the caller's key and by the derived one.
    let answer = post(&client, vec![ok("a", 1), ok("a", 1), ok("b", 1), ok("b", 2), payment.clone(), payment]).await;
    assert_eq!(outcomes(&answer), ["created", "replayed", "created", "failed", "created", "deduplicated"]);
    let jobs = &answer.body["jobs"];
    assert_eq!((&jobs[0]["id"], &jobs[4]["id"]), (&jobs[1]["id"], &jobs[5]["id"]));
    assert_eq!(jobs[3]["problem"]["type"], "urn:usher:problem:idempotency-key-reused");
    assert_eq!(jobs[3]["problem"]["firstJob"], jobs[2]["id"]);
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_job_is_shown_with_its_place_and_nothing_is_written() {
    let db = Db::new().await;
    let plugins = vec!["guest.wasm", "analytics.wasm"];
    let host = Host::start(&db, None, HostOptions { plugins, concurrency: 0, ..HostOptions::default() }).await;
    let client = venue_admin(&host);
    let good = json!({"type": "guest", "payload": {"do": "ok"}});
    let with = |more: Value| {
        let mut job = good.clone();
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        job
    };
    for (bad, pointer) in [
        (json!(7), "/jobs/1"),
        (json!({"payload": {}}), "/jobs/1/type"),
        (with(json!({"type": "ghost"})), "/jobs/1/type"),
        (with(json!({"colour": "red"})), "/jobs/1/colour"),
        (with(json!({"priority": "urgent"})), "/jobs/1/priority"),
        (with(json!({"idempotencyKey": ""})), "/jobs/1/idempotencyKey"),
        (with(json!({"idempotencyKey": "ü"})), "/jobs/1/idempotencyKey"),
        (with(json!({"tenant": "t2"})), "/jobs/1"),
        (json!({"type": "analytics-track", "payload": {"event": 7}}), "/jobs/1/payload/event"),
        (with(json!({"runAt": chrono::Utc::now() + chrono::TimeDelta::hours(2), "expiresIn": "1h"})), "/jobs/1/runAt"),
    ] {
        let answer = post(&client, vec![good.clone(), bad.clone(), good.clone()]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {}", answer.body);
        assert_eq!(answer.body["type"], "urn:usher:problem:invalid-batch", "{bad}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{bad}: {}", answer.body);
    }
    for jobs in [json!([]), vec![good.clone(); 1_001].into()] {
        assert_eq!(post(&client, jobs).await.body["errors"][0]["pointer"], "/jobs");
    }
    let long = json!({"type": "guest", "payload": {"do": "ok", "echo": "x".repeat(200 * 1024)}});
    assert_eq!(post(&client, vec![long; 45]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(post(&host.client(), vec![good]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_stops_no_other() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    db.execute("ALTER TABLE jobs ADD CONSTRAINT poisoned CHECK (payload NOT LIKE '%poison%')").await;
    let jobs: Vec<_> = (0..100)
        .map(|n| json!({"type": "guest", "payload": {"do": "ok", "echo": if n == 41 { "poison" } else { "sound" }}}))
        .collect();
    let answer = post(&venue_admin(&host), jobs).await;
    let outcomes = outcomes(&answer);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "created").count(), 99);
    assert_eq!(outcomes[41], "failed");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 99);
}
