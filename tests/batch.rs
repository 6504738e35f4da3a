//! `POST /jobs/batch`: many jobs in one request.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Db, Host, HostOptions, cells, eventually, read, token};

async fn post(client: &Client, jobs: impl Into<Value>) -> Answer {
    client.send(Method::POST, "/jobs/batch", Some(json!({"jobs": jobs.into()}))).await
}

/// All or none.
async fn atomic(client: &Client, jobs: impl Into<Value>) -> Answer {
    client.send(Method::POST, "/jobs/batch", Some(json!({"jobs": jobs.into(), "atomic": true}))).await
}

/// Refused as a whole, for what is wrong in these places.
fn assert_invalid(answer: &Answer, pointers: &[&str]) {
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    assert_eq!(answer.body["type"], "urn:usher:problem:invalid-batch", "{}", answer.body);
    let errors = answer.body["errors"].as_array().unwrap();
    let found: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(found, pointers, "{}", answer.body);
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
    let statuses: Vec<_> = jobs.as_array().unwrap().iter().map(|job| job["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [202, 200, 202, 422, 202, 202], "as each would have had alone");
    assert_eq!(jobs[3]["problem"]["type"], "urn:usher:problem:idempotency-key-reused");
    assert_eq!(jobs[3]["problem"]["errors"][0]["pointer"], "/jobs/3/idempotencyKey");
    assert_eq!(jobs[3]["problem"]["firstJob"], jobs[2]["id"]);
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_job_is_shown_with_its_place_and_stops_the_others_of_an_atomic_batch_only() {
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
    let late = json!({"runAt": chrono::Utc::now() + chrono::TimeDelta::hours(2), "expiresIn": "1h"});
    let bad = [
        (json!(7), 422, "/jobs/1"),
        (json!({"payload": {}}), 422, "/jobs/1/type"),
        (with(json!({"type": "ghost"})), 422, "/jobs/1/type"),
        (with(json!({"colour": "red"})), 422, "/jobs/1/colour"),
        (with(json!({"priority": "urgent"})), 422, "/jobs/1/priority"),
        (with(json!({"idempotencyKey": ""})), 422, "/jobs/1/idempotencyKey"),
        (with(json!({"idempotencyKey": "ü"})), 422, "/jobs/1/idempotencyKey"),
        (with(json!({"tenant": "t2"})), 403, "/jobs/1"),
        (with(json!({"payload": {"do": "ok", "echo": "x".repeat(300 << 10)}})), 413, "/jobs/1"),
        (json!({"type": "analytics-track", "payload": {"event": 7}}), 422, "/jobs/1/payload/event"),
        (with(late), 422, "/jobs/1/runAt"),
    ];
    for (bad, status, pointer) in &bad {
        let jobs = vec![good.clone(), bad.clone(), good.clone()];
        let whole = atomic(&client, jobs.clone()).await;
        assert_invalid(&whole, &[*pointer]);
        let each = post(&client, jobs).await;
        assert_eq!(outcomes(&each), ["created", "failed", "created"], "{pointer}");
        let refused = &each.body["jobs"][1];
        assert_eq!((&refused["status"], &refused["problem"]["status"]), (&json!(status), &json!(status)), "{refused}");
        assert_eq!(refused["problem"]["errors"][0]["pointer"], *pointer, "{refused}");
        assert_eq!((&refused["id"], &each.body["jobs"][2]["status"]), (&Value::Null, &json!(202)));
    }
    let written = i64::try_from(bad.len() * 2).unwrap();
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, written, "the good ones, and nothing of the atomic ones");

    // None is taken: each is told why, however many they are, and the answer does not look like a success.
    let ghosts: Vec<_> = (0..30).map(|n| with(json!({"type": format!("ghost-{n}")}))).collect();
    let pointers: Vec<_> = (0..30).map(|n| format!("/jobs/{n}/type")).collect();
    let answer = post(&client, ghosts).await;
    assert_invalid(&answer, &pointers.iter().map(String::as_str).collect::<Vec<_>>());
    let entries = answer.body["jobs"].as_array().unwrap();
    assert!(entries.len() == 30 && entries.iter().all(|entry| entry["status"] == 422), "{}", answer.body);

    for jobs in [json!([]), vec![good.clone(); 1_001].into()] {
        assert_eq!(post(&client, jobs.clone()).await.body["errors"][0]["pointer"], "/jobs");
        assert_eq!(atomic(&client, jobs).await.body["errors"][0]["pointer"], "/jobs");
    }
    for (body, pointer) in [
        (json!({"jobs": [good], "atomic": "yes"}), "/atomic"),
        (json!({"jobs": [good], "queue": "money"}), "/queue"),
        (json!({"atomic": true}), "/jobs"),
    ] {
        let answer = client.send(Method::POST, "/jobs/batch", Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{}", answer.body);
    }
    assert_eq!(post(&host.client(), vec![good.clone()]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, written);

    // To the byte.
    let sized = async |bytes: usize| {
        let mut body = json!({"jobs": [good], "atomic": true}).to_string();
        body.push_str(&" ".repeat(bytes - body.len()));
        let request = client.request(Method::POST, "/jobs/batch").header("content-type", "application/json");
        read(request.body(body).send().await.unwrap()).await
    };
    let most = 4 << 20;
    assert_eq!(outcomes(&sized(most).await), ["created"]);
    assert_eq!(sized(most + 1).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, written + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_acts_for_tenants_names_them_and_each_job_has_its_own() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    let of = |tenant: Value| json!({"type": "guest", "payload": {"do": "ok"}, "tenant": tenant});
    let two = || vec![of(json!("t1")), of(json!("t2"))];
    let admin = host.admin();
    assert_eq!(outcomes(&post(&admin, two()).await), ["created", "created"]);
    assert_eq!(outcomes(&atomic(&admin, two()).await), ["created", "created"]);
    // The token of this admin names none, so each job must.
    assert_invalid(&atomic(&admin, vec![of(json!("t1")), of(json!(null))]).await, &["/jobs/1/tenant"]);
    let each = post(&admin, vec![of(json!("t1")), of(json!(null)), of(json!(""))]).await;
    assert_eq!(outcomes(&each), ["created", "failed", "failed"]);
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE tenant = 't1'").await, 3);
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE tenant = 't2'").await, 2);
    // A venue admin names none, not even the own one.
    let venue = venue_admin(&host);
    for tenant in ["t1", "t2"] {
        assert_invalid(&atomic(&venue, vec![of(json!(null)), of(json!(tenant))]).await, &["/jobs/1"]);
        let each = post(&venue, vec![of(json!(null)), of(json!(tenant))]).await;
        assert_eq!((outcomes(&each), &each.body["jobs"][1]["status"]), (vec!["created", "failed"], &json!(403)));
    }
    for jobs in [two(), vec![of(json!(null))]] {
        assert_eq!(atomic(&host.client(), jobs).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_batch_is_one_commit_over_all_tiers_and_its_repeat_answers_the_same_jobs() {
    let db = Db::new().await;
    let plugins = vec!["guest.wasm", "guest-effects.wasm"];
    let host = Host::start(&db, None, HostOptions { plugins, concurrency: 0, ..HostOptions::default() }).await;
    let client = venue_admin(&host);
    let job = |job_type: &str, key: &str, echo: u32| {
        let payload = json!({"do": "ok", "echo": echo});
        json!({"type": job_type, "payload": payload, "idempotencyKey": key})
    };
    let jobs = vec![job("guest", "a", 1), job("guest-money", "b", 1), job("guest-mail", "c", 1), job("guest", "d", 1)];
    let first = atomic(&client, jobs.clone()).await;
    assert_eq!(outcomes(&first), ["created"; 4]);
    assert_eq!(db.count("SELECT count(DISTINCT tier) FROM jobs").await, 3);
    assert_eq!(db.count("SELECT count(DISTINCT xmin::text) FROM jobs").await, 1, "one transaction wrote them");
    let ids = |answer: &Answer| {
        answer.body["jobs"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect::<Vec<_>>()
    };
    for (n, id) in ids(&first).iter().enumerate() {
        let stored = client.job(id.as_str().unwrap()).await;
        assert_eq!(stored["type"], jobs[n]["type"], "in their order");
    }
    let again = atomic(&client, jobs.clone()).await;
    assert_eq!((outcomes(&again), ids(&again)), (vec!["replayed"; 4], ids(&first)));
    assert!(again.body["jobs"].as_array().unwrap().iter().all(|job| job["status"] == 200), "{}", again.body);

    // A key that was used before with another payload refuses all, also the keys of the others.
    let reused =
        vec![job("guest-money", "e", 1), job("guest", "a", 2), job("guest-mail", "c", 2), job("guest", "f", 1)];
    let refused = atomic(&client, reused).await;
    assert_invalid(&refused, &["/jobs/1/idempotencyKey", "/jobs/2/idempotencyKey"]);
    // Twice in one batch: the first is the job, and another payload refuses all.
    let twice = atomic(&client, vec![job("guest", "g", 1), job("guest-money", "h", 1), job("guest", "g", 2)]).await;
    assert_invalid(&twice, &["/jobs/2/idempotencyKey"]);
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 4);
    assert_eq!(db.count("SELECT count(*) FROM idempotency_keys").await, 4, "their keys are free");
    let mut line = job("guest", "g", 1);
    line["orderingKey"] = json!("line");
    for (each, key) in [(false, "g"), (true, "i")] {
        // Also where the first goes another way to the database than the second.
        let mut line = line.clone();
        line["idempotencyKey"] = json!(key);
        let jobs = vec![line, job("guest", key, 1), job("guest-money", key, 1)];
        let answer = if each { post(&client, jobs).await } else { atomic(&client, jobs).await };
        assert_eq!(outcomes(&answer), ["created", "replayed", "created"], "a key is of a type");
        assert_eq!(ids(&answer)[0], ids(&answer)[1]);
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE ordering_key = 'line'").await, 2);
    // Some that are there, and some that are new.
    let mixed = atomic(&client, vec![job("guest", "a", 1), job("guest", "k", 1)]).await;
    assert_eq!((outcomes(&mixed), &ids(&mixed)[0]), (vec!["replayed", "created"], &ids(&first)[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_in_an_atomic_batch_leaves_all_of_it_or_nothing() {
    let db = Db::new().await;
    let options = || HostOptions { concurrency: 0, ..HostOptions::default() };
    let mut host = Host::start(&db, None, options()).await;
    // It waits for us, however short the host would.
    db.execute(
        "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS \
         $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$",
    )
    .await;
    let mut before = 0;
    for (trigger, outcome) in [
        // Between the tiers: the jobs of tier 1 are written, and nothing is committed.
        ("CREATE TRIGGER held BEFORE INSERT ON jobs_t3 FOR EACH ROW EXECUTE FUNCTION held()", "created"),
        // In the commit, which PostgreSQL ends without the host.
        (
            "CREATE CONSTRAINT TRIGGER held AFTER INSERT ON jobs_t3 DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION held()",
            "replayed",
        ),
    ] {
        let jobs: Vec<_> = (0..100)
            .map(|n| {
                let job_type = if n % 2 == 0 { "guest" } else { "guest-money" };
                json!({"type": job_type, "payload": {"do": "ok"}, "idempotencyKey": format!("{outcome}-{n}")})
            })
            .collect();
        db.execute(trigger).await;
        let lock = cells::lock(&db, "SELECT pg_advisory_xact_lock(7)").await;
        let request =
            venue_admin(&host).request(Method::POST, "/jobs/batch").header("content-type", "application/json");
        let request = request.body(json!({"jobs": jobs, "atomic": true}).to_string());
        let answer = tokio::spawn(async move { request.send().await });
        cells::waits(&db).await;
        assert_eq!(db.count("SELECT count(*) FROM jobs").await, before, "nothing is seen of it yet");
        host.kill9();
        assert!(answer.await.unwrap().is_err(), "nobody answers");
        lock.rollback().await.unwrap();
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'usher'";
        eventually("the dead host's sessions end", async || (db.count(sessions).await == 0).then_some(())).await;
        let now = if outcome == "created" { before } else { before + 100 };
        assert_eq!(db.count("SELECT count(*) FROM jobs").await, now, "{outcome}");
        assert_eq!(db.count("SELECT count(*) FROM idempotency_keys").await, now, "{outcome}");
        db.execute("DROP TRIGGER held ON jobs_t3").await;

        host = Host::start(&db, None, HostOptions { data_dir: Some(host.data_dir.clone()), ..options() }).await;
        let again = atomic(&venue_admin(&host), jobs).await;
        assert_eq!(outcomes(&again), [outcome; 100]);
        before += 100;
        assert_eq!(db.count("SELECT count(*) FROM jobs").await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_stops_no_other_but_those_of_its_atomic_batch() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    db.execute("ALTER TABLE jobs ADD CONSTRAINT poisoned CHECK (payload NOT LIKE '%poison%')").await;
    let jobs: Vec<_> = (0..100)
        .map(|n| json!({"type": "guest", "payload": {"do": "ok", "echo": if n == 41 { "poison" } else { "sound" }}}))
        .collect();
    // One answer for all.
    let failed = atomic(&venue_admin(&host), jobs.clone()).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE, "{}", failed.body);
    assert!(failed.headers.contains_key("retry-after") && failed.body.get("jobs").is_none(), "{}", failed.body);
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
    let answer = post(&venue_admin(&host), jobs).await;
    let outcomes = outcomes(&answer);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "created").count(), 99);
    assert_eq!((outcomes[41], &answer.body["jobs"][41]["status"]), ("failed", &json!(503)));
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 99);
}
