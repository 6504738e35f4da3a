//! What people do to jobs: cancel, pause, clear, redrive; and the alerts they get.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, Db, Host, HostOptions, Sink, eventually, token};

fn second() -> HostOptions {
    HostOptions { plugins: Vec::new(), ..HostOptions::default() }
}

fn idle() -> HostOptions {
    HostOptions { concurrency: 0, ..HostOptions::default() }
}

async fn cancel(host: &Host, id: &str) -> StatusCode {
    host.admin().send(Method::DELETE, &format!("/jobs/{id}"), None).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_cancelled_at_once() {
    let db = Db::new().await;
    // As if somebody followed.
    db.execute("UPDATE event_log SET until = 'infinity'").await;
    let host = Host::start(&db, None, idle()).await;
    let client = host.client();
    let ready = client.submit("guest-money", json!({"do": "ok"})).await;
    let at = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let body = json!({"type": "guest", "payload": {"do": "ok"}, "runAt": at}).to_string();
    let scheduled = client.post(body).await.body["id"].as_str().unwrap().to_owned();
    for id in [&ready, &scheduled] {
        assert_eq!(client.send(Method::DELETE, &format!("/jobs/{id}"), None).await.status, 403, "a plain user may not");
        assert_eq!(cancel(&host, id).await, 200);
        let job = client.job(id).await;
        assert_eq!((&job["state"], &job["errors"][0]["kind"]), (&json!("cancelled"), &json!("cancelled")));
        assert_eq!(cancel(&host, id).await, 409, "over is over");
    }
    let other = client.with_token(token("venue_admin", Some("t2")));
    let mine = client.submit("guest-money", json!({"do": "ok"})).await;
    assert_eq!(other.send(Method::DELETE, &format!("/jobs/{mine}"), None).await.status, 404, "another tenant's");
    assert_eq!(cancel(&host, "nonsense").await, 404);
    assert_eq!(db.count("SELECT count(*) FROM outbox, unnest(events) AS event WHERE event = 'job.cancelled'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_guest_is_stopped_from_another_node() {
    let db = Db::new().await;
    let first = Host::start(&db, None, HostOptions::default()).await;
    // It would compute for 9 of its 10 seconds.
    let id = first.client().submit("guest-slow", json!({"do": "spin", "ms": 9000})).await;
    first.client().wait(&id, "running").await;
    let other = Host::start(&db, None, HostOptions { concurrency: 0, ..second() }).await;
    assert_eq!(cancel(&other, &id).await, 202);
    let job = first.client().wait(&id, "cancelled").await;
    assert!(job["cpuMs"].as_f64().unwrap() < 8000.0, "{job}");
    assert_eq!(job["errors"][0]["message"], "it was cancelled while it ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_under_way_is_journaled_before_a_cancel_and_no_other_begins() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let plugins = vec!["guest-effects.wasm"];
    let host =
        Host::start(&db, Some(&sink), HostOptions { plugins, mail_timeout: "10s", ..HostOptions::default() }).await;
    sink.faults(&["silence 1.5"]).await;
    let id = host.client().submit("guest-mail", json!({"do": "two-mails", "to": "a@example.com"})).await;
    eventually("the first mail is on its way", async || {
        (db.count("SELECT count(*) FROM effects WHERE state = 'started'").await == 1).then_some(())
    })
    .await;
    assert_eq!(cancel(&host, &id).await, 202);
    host.client().wait(&id, "cancelled").await;
    let journal = format!(
        "SELECT string_agg(e ->> 'state', ' ') FROM jobs_archive, jsonb_array_elements(journal) e WHERE id = '{id}'"
    );
    assert_eq!(db.text(&journal).await.as_deref(), Some("ended"));
    assert_eq!(sink.mails().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_binds_all_nodes_and_a_clear_leaves_what_runs_or_has_a_journal() {
    let db = Db::new().await;
    let first = Host::start(&db, None, HostOptions::default()).await;
    let other = Host::start(&db, None, second()).await;
    let admin = other.admin();
    let post = async |path: &str, body: Option<Value>| admin.send(Method::POST, path, body).await;
    let running = first.client().submit("guest-slow", json!({"do": "spin", "ms": 2500})).await;
    first.client().wait(&running, "running").await;

    assert_eq!(post("/queues/background/pause", None).await.status, 200);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(first.client().submit("guest", json!({"do": "ok"})).await);
    }
    let journaled = first.client().submit("guest", json!({"do": "ok"})).await;
    db.execute(&format!(
        "INSERT INTO effects (job_id, seq, effect_id, tier, provider, function, class, request_hash, request, state, \
         release, base_ms, deadline_at) SELECT id, 0, id, tier, 'email', 'send', 'once', accepted_by, '{{}}', 'deferred', \
         accepted_by, 0, now() FROM jobs WHERE id = '{journaled}'"
    ))
    .await;
    // Both nodes look several times meanwhile: five beats are three of their polls.
    let beats = db.count("SELECT max(beat) FROM nodes").await + 5;
    eventually("both nodes have looked", async || {
        (db.count("SELECT min(beat) FROM nodes").await >= beats).then_some(())
    })
    .await;
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE state = 'ready'").await, 21);
    assert_eq!(admin.get("/queues/background").await.body["paused"], true);

    assert_eq!(post("/queues/background/clear", Some(json!({"confirm": "back"}))).await.status, 422);
    assert_eq!(
        db.count("SELECT count(*) FROM jobs WHERE state = 'ready'").await,
        21,
        "nothing without the confirmation"
    );
    let done = post("/queues/background/clear", Some(json!({"confirm": "background"}))).await;
    assert_eq!(done.body, json!({"name": "background", "cleared": 20, "kept": {"running": 1, "journaled": 1}}));
    assert_eq!(first.client().job(&waiting[0]).await["state"], "cancelled");

    assert_eq!(post("/queues/background/resume", None).await.status, 200);
    for id in [&running, &journaled] {
        first.client().wait(id, "completed").await;
    }
    assert_eq!(post("/queues/nonsense/pause", None).await.status, 404);
    let user = first.client().send(Method::POST, "/queues/money/pause", None).await;
    assert_eq!(user.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_job_is_retried_under_its_id_with_all_errors_kept() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    let id = client.submit("guest", json!({"do": "retry", "until": 99})).await;
    client.wait(&id, "dead").await;
    let retry =
        async |id: &str, body: Option<Value>| host.admin().send(Method::POST, &format!("/jobs/{id}/retry"), body).await;
    assert_eq!(client.send(Method::POST, &format!("/jobs/{id}/retry"), None).await.status, 403);
    let none = json!({"release": format!("sha256:{}", "0".repeat(64))});
    assert_eq!(retry(&id, Some(none)).await.body["errors"][0]["pointer"], "/release");
    assert_eq!(retry(&id, Some(json!({"colour": "red"}))).await.status, 422);
    assert_eq!(retry(&id, None).await.status, 202);
    let job = eventually("it is dead again", async || {
        let job = client.job(&id).await;
        (job["state"] == "dead" && job["errors"].as_array().unwrap().len() == 7).then_some(job)
    })
    .await;
    assert_eq!(job["errors"][3]["kind"], "redrive");
    let completed = client.submit("guest", json!({"do": "ok"})).await;
    client.wait(&completed, "completed").await;
    assert_eq!(retry(&completed, None).await.body["type"], "urn:usher:problem:not-dead");
    assert_eq!(retry("nonsense", None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_effects_replay_in_a_retry() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let plugins = vec!["guest-effects.wasm"];
    let host = Host::start(&db, Some(&sink), HostOptions { plugins, ..HostOptions::default() }).await;
    let steps = json!({"do": "steps", "steps": [{"do": "mail", "to": "a@example.com"}, {"do": "permanent"}]});
    let id = host.client().submit("guest-mail", steps).await;
    host.client().wait(&id, "dead").await;
    assert_eq!(host.admin().send(Method::POST, &format!("/jobs/{id}/retry"), None).await.status, 202);
    eventually("it is dead again", async || {
        let job = host.client().job(&id).await;
        (job["state"] == "dead" && job["errors"].as_array().unwrap().len() == 3).then_some(())
    })
    .await;
    assert_eq!(sink.mails().await.len(), 1, "the mail of the first run is replayed, not sent again");
    assert_eq!(db.count("SELECT count(*) FROM effects").await, 0, "the journal is in the archive again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_does_not_run_beside_the_job_that_took_its_key() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let body = |step: &str| json!({"type": "guest-money", "payload": {"do": step}}).to_string();
    let first = host.client().post_with(body("permanent"), &[("idempotency-key", "k1")]).await;
    let first = first.body["id"].as_str().unwrap().to_owned();
    host.client().wait(&first, "dead").await;
    let again = host.client().post_with(body("ok"), &[("idempotency-key", "k1")]).await;
    assert_eq!(again.status, 202, "a dead job without effects frees its key: {}", again.body);
    let answer = host.admin().send(Method::POST, &format!("/jobs/{first}/retry"), None).await;
    assert_eq!((answer.status.as_u16(), &answer.body["type"]), (409, &json!("urn:usher:problem:key-taken")));
    assert_eq!(host.client().job(&first).await["state"], "dead", "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_are_redriven_by_filter_after_a_look() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    for _ in 0..5 {
        let id = client.submit("guest", json!({"do": "permanent"})).await;
        client.wait(&id, "dead").await;
    }
    let other = client.submit("guest-money", json!({"do": "permanent"})).await;
    client.wait(&other, "dead").await;
    let post = async |body: Value| host.admin().send(Method::POST, "/jobs/bulk/retry", Some(body)).await;
    let filter = json!({"type": "guest", "reason": "permanent"});
    let look = post(json!({"filter": filter, "preview": true})).await;
    assert_eq!((look.status.as_u16(), &look.body["matches"]), (200, &json!(5)));
    assert_eq!(look.body["sample"].as_array().unwrap().len(), 5);
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE redrives > 0").await, 0, "a look changes nothing");
    for bad in [
        json!({}),
        json!({"filter": {"reason": "tired"}}),
        json!({"filter": {}, "rate": 0}),
        json!({"filter": {"x": 1}}),
    ] {
        assert_eq!(post(bad).await.status, 422);
    }
    assert_eq!(client.send(Method::POST, "/jobs/bulk/retry", Some(json!({"filter": {}}))).await.status, 403);
    let id = post(json!({"filter": filter, "rate": 2})).await.body["id"].as_str().unwrap().to_owned();
    let done = eventually("the redrive is done", async || {
        let bulk = host.admin().get(&format!("/jobs/bulk/{id}")).await.body;
        (bulk["state"] == "done").then_some(bulk)
    })
    .await;
    assert_eq!((&done["redriven"], &done["refused"]), (&json!(5), &json!(0)));
    eventually("all five are dead again", async || {
        (db.count("SELECT count(*) FROM jobs_archive WHERE redrives = 1 AND state = 'dead'").await == 5).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_redrive_that_cannot_go_on_stands_in_no_others_way() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    let id = client.submit("guest", json!({"do": "permanent"})).await;
    client.wait(&id, "dead").await;
    // As a newer host might have left it: a filter that this one cannot read, begun before the other.
    let sql = "INSERT INTO redrives (filter, rate, created_by, created_at) \
               VALUES ('{\"of\": \"tomorrow\"}', 1, 'x', now() - interval '1 hour')";
    db.execute(sql).await;
    let body = json!({"filter": {"type": "guest"}, "rate": 5});
    let bulk = host.admin().send(Method::POST, "/jobs/bulk/retry", Some(body)).await.body["id"].clone();
    let path = format!("/jobs/bulk/{}", bulk.as_str().unwrap());
    eventually("the readable one is done", async || {
        (host.admin().get(&path).await.body["state"] == "done").then_some(())
    })
    .await;
    assert_eq!(db.count("SELECT count(*) FROM redrives WHERE state = 'running'").await, 1, "the other is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_its_nodes_down_runs_alone_and_then_not_at_all() {
    let db = Db::new().await;
    let options = || HostOptions { queues: None, ..second() };
    let mut host = Host::start(&db, None, HostOptions::default()).await;
    let bad = host.client().submit("guest-slow", json!({"do": "spin", "ms": 4000})).await;
    let neighbour = host.client().submit("guest-slow", json!({"do": "spin", "ms": 2000})).await;
    for id in [&bad, &neighbour] {
        host.client().wait(id, "running").await;
    }
    // Whoever runs it dies, five times; the neighbour is there for the first.
    let mut alone = 0;
    for reaps in 1..=5 {
        host.kill9();
        host = Host::start(&db, None, options()).await;
        if reaps == 5 {
            break;
        }
        let sql = format!("SELECT reaps::bigint FROM jobs WHERE id = '{bad}'");
        eventually("it was reaped", async || (db.count(&sql).await >= reaps).then_some(())).await;
        if reaps == 1 {
            // It is not this one's fault, and it ends now.
            host.client().wait(&neighbour, "completed").await;
        }
        host.client().wait(&bad, "running").await;
        alone += i32::from(host.log().contains("runs alone"));
    }
    assert_eq!(alone, 3, "from the second reap on");
    let job = host.client().wait(&bad, "dead").await;
    assert_eq!((&job["reason"], &job["errors"][0]["kind"]), (&json!("trapped"), &json!("host-lost")));
    let neighbour = host.client().wait(&neighbour, "completed").await;
    assert_eq!((&neighbour["attempt"], neighbour["errors"].as_array().unwrap().len()), (&json!(1), 0));
    let alerts = host.admin().get("/alerts?state=open").await.body;
    assert_eq!((&alerts["items"][0]["kind"], &alerts["items"][0]["count"]), (&json!("host-lost"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_read_waits_for_a_person_and_stops_no_other_job() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    host.admin().send(Method::POST, "/queues/money/pause", None).await;
    let client = host.client();
    let poisoned = client.submit("guest-money", json!({"do": "ok"})).await;
    let sound = client.submit("guest-money", json!({"do": "ok"})).await;
    // As another version might have left them: both ran before, one has an answer of a kind that we do not know.
    db.execute("UPDATE jobs SET runs = 1").await;
    db.execute(&format!(
        "INSERT INTO effects (job_id, seq, effect_id, tier, provider, function, class, request_hash, request, state, \
                              release, base_ms, deadline_at, ended_at, answer)
         SELECT id, 0, gen_random_uuid(), 1, 'email', 'send', 'once', accepted_by, '{{}}', 'ended', accepted_by, 0,
                now(), now(), '{{\"kind\": \"of the future\"}}' FROM jobs WHERE id = '{poisoned}'"
    ))
    .await;
    host.admin().send(Method::POST, "/queues/money/resume", None).await;
    client.wait(&sound, "completed").await;
    client.wait(&poisoned, "dead").await;
    client.wait_error(&poisoned, "journal-unreadable").await;
    assert_eq!(client.job(&poisoned).await["reason"], "unknown-outcome");
    assert_eq!(db.count("SELECT count(*) FROM effects").await, 1, "the journal is kept as it is");
}

async fn effects(client: &Client, job: &str, more: &str) -> Value {
    client.get(&format!("/effects?job={job}{more}")).await.body["items"].clone()
}

/// What people see of a job's effects they see after its end, too; of their own tenant's.
#[tokio::test(flavor = "multi_thread")]
async fn the_effects_of_a_finished_job_are_shown() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let options = HostOptions { plugins: vec!["guest-effects.wasm"], ..HostOptions::default() };
    let host = Host::start(&db, Some(&sink), options).await;
    let client = host.client();
    let id = client.submit("guest-mail", json!({"do": "two-mails"})).await;
    client.wait(&id, "completed").await;
    let all = effects(&client, &id, "").await;
    assert_eq!((&all[0]["seq"], &all[1]["seq"]), (&json!(1), &json!(0)), "{all}");
    for effect in all.as_array().unwrap() {
        assert_eq!(
            (&effect["jobState"], &effect["state"], &effect["answer"], &effect["function"]),
            (&json!("completed"), &json!("ended"), &json!("ok"), &json!("send")),
            "{effect}"
        );
    }
    let first = client.get(&format!("/effects?job={id}&limit=1")).await.body;
    assert_eq!(first["items"], json!([all[0]]));
    let cursor = first["nextCursor"].as_str().unwrap();
    assert_eq!(effects(&client, &id, &format!("&cursor={cursor}")).await, json!([all[1]]));
    for (more, count) in [("&provider=email", 2), ("&provider=stripe", 0), ("&state=doubt", 0)] {
        assert_eq!(effects(&client, &id, more).await.as_array().unwrap().len(), count, "{more}");
    }
    assert_eq!(effects(&host.admin(), &id, "").await, all);
    let other = client.with_token(token("user", Some("t2")));
    assert_eq!(effects(&other, &id, "").await, json!([]));
}
