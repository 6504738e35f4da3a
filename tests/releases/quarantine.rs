use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{built, change, guest, is, options, patient, plugin, publish, published, serves, slow_queues, version};
use crate::support::{ActingService, Db, Fault, FaultProxy, Host, HostOptions, Sink, eventually};

/// As shipped: 10 of the last 20.
fn judged() -> HostOptions {
    HostOptions { config: "[plugins.quarantine]\n".to_owned(), filter: "warn", ..options(Vec::new()) }
}

async fn alert(host: &Host) -> Value {
    eventually("an alert tells of it", async || {
        let alerts = host.admin().get("/alerts").await.body;
        alerts["items"].as_array()?.iter().find(|alert| alert["kind"] == "release-quarantined").cloned()
    })
    .await
}

/// One attempt each: every job that meets a bad release dies at once.
fn deadly() -> Option<String> {
    let queue = |name: &str, tier: u8| {
        format!(
            "[queues.{name}]\ntier = {tier}\nretries = 0\ndelay = \"200ms\"\nbackoff = \"fixed\"\nexpiry = \"6h\"\n"
        )
    };
    Some([queue("money", 1), queue("communication", 2), queue("background", 3)].concat())
}

/// So many traps of as many jobs that the release that serves is stopped.
async fn stop(host: &Host, job_type: &str) -> Value {
    stop_by(host, job_type, "panic").await
}

async fn stop_by(host: &Host, job_type: &str, fault: &str) -> Value {
    for _ in 0..10 {
        host.client().submit(job_type, json!({"do": fault})).await;
    }
    alert(host).await
}

/// Jobs that the bad release had a hand in.
const TOUCHED: &str = "SELECT count(*) FROM (SELECT id, errors FROM jobs_archive UNION ALL SELECT id, errors FROM jobs) AS j \
                       WHERE errors <> '[]'";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_traps_on_every_job_is_rolled_back_by_itself_and_kills_none() {
    let db = Db::new().await;
    let hosts = [
        Host::start(&db, None, judged()).await,
        Host::start(&db, None, judged()).await,
        Host::start(&db, None, judged()).await,
    ];
    published(&hosts[0].admin(), built("guest.wasm")).await;
    serves(&hosts[2].client(), "guest", "0.1.0").await;
    let (submitted, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let streams: Vec<_> = (0..12)
        .map(|stream| {
            let client = hosts[stream % 3].client();
            let (submitted, done) = (Arc::clone(&submitted), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    client.submit("guest", json!({"do": "ok"})).await;
                    submitted.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    eventually("there is load", async || (submitted.load(Ordering::Relaxed) > 300).then_some(())).await;
    published(&hosts[1].admin(), built("guest-broken.wasm")).await;
    let alert = alert(&hosts[0]).await;
    assert_eq!((&alert["subject"], &alert["severity"]), (&json!("plugin/guest"), &json!("critical")), "{alert}");
    assert_eq!(alert["detail"]["nowServes"], "0.1.0", "{alert}");
    serves(&hosts[2].client(), "guest", "0.1.0").await;
    let so_far = submitted.load(Ordering::Relaxed);
    eventually("the load goes on", async || (submitted.load(Ordering::Relaxed) > so_far + 300).then_some(())).await;
    done.store(true, Ordering::Relaxed);
    for stream in streams {
        stream.await.unwrap();
    }
    let submitted = i64::try_from(submitted.load(Ordering::Relaxed)).unwrap();
    let completed = "SELECT count(*) FROM jobs_archive WHERE state = 'completed'";
    eventually("every job completes", async || (db.count(completed).await == submitted).then_some(())).await;
    let touched = db.count(TOUCHED).await;
    println!("{submitted} jobs, {touched} of them ran into the bad release");
    assert!((10..=100).contains(&touched), "{touched}");
    let died = "SELECT count(*) FROM jobs_archive WHERE state = 'dead' OR redrives > 0";
    assert_eq!(db.count(died).await, 0, "none died, not even to come back");
    // Their budgets are whole: the attempt that completed is the only one that counts.
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE attempt <> 1").await, 0, "attempts are given back");
    assert_eq!(db.count("SELECT count(*) FROM audit_log WHERE action = 'plugin.quarantine'").await, 1, "once");

    // It comes back only by a person's word.
    let refused = publish(&hosts[0].admin(), built("guest-broken.wasm")).await;
    is(&refused, StatusCode::CONFLICT, "release-quarantined");
    let history = hosts[0].admin().get("/plugins/guest/releases").await.body;
    assert_eq!(history["items"][0]["reason"], "quarantine", "{history}");
    assert!(history["items"][1]["quarantinedAt"].is_string(), "{history}");
}

/// Claims of jobs of the plugin, and those of them that nobody has put back yet.
const RUNS: &str = "SELECT coalesce(sum(runs), 0)::bigint FROM jobs WHERE job_type = 'guest'";
const HELD: &str = "SELECT count(*) FROM jobs WHERE job_type = 'guest' AND lease IS NOT NULL";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_one_its_jobs_wait_and_a_persons_word_counts() {
    let db = Db::new().await;
    let host = Host::start(&db, None, judged()).await;
    published(&host.admin(), built("guest-broken.wasm")).await;
    for _ in 0..40 {
        host.client().submit("guest", json!({"do": "ok"})).await;
    }
    let alert = alert(&host).await;
    assert_eq!(alert["detail"]["nowServes"], json!(null), "{alert}");
    eventually("it says so", async || (plugin(&host.client(), "guest").await["state"] == "quarantined").then_some(()))
        .await;
    // Submits are taken, and wait.
    let late = host.client().submit("guest", json!({"do": "ok"})).await;
    let state = host.client().job(&late).await["state"].clone();
    assert!(state == "blocked" || state == "ready", "{state}");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 41, "nothing ended");
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE attempt > 1").await, 0);

    // No storm: none of them was claimed more than twice before the stop, and nobody claims one after it, while a job of
    // another plugin comes back again and again on the same host.
    eventually("all are put back", async || (db.count(HELD).await == 0).then_some(())).await;
    let runs = db.count(RUNS).await;
    assert!((10..=2 * 41).contains(&runs), "{runs} runs of 41 jobs");
    published(&host.admin(), built("guest-effects.wasm")).await;
    let again = json!({"do": "retry-after", "delayMs": 500, "until": 4});
    let beside = host.client().submit("guest-mail", again).await;
    assert_eq!(host.client().wait(&beside, "completed").await["attempt"], 4);
    assert_eq!(db.count(RUNS).await, runs, "nothing runs on what is stopped");

    // Somebody insists: it traps again, and is stopped again.
    let insists = change(&host.admin(), "guest", "activate", Some(json!({"version": "0.2.0"}))).await;
    assert_eq!(insists.status, StatusCode::OK, "{}", insists.body);
    let twice = "SELECT count(*) FROM audit_log WHERE action = 'plugin.quarantine'";
    eventually("it is stopped again", async || (db.count(twice).await == 2).then_some(())).await;
    eventually("all are put back", async || (db.count(HELD).await == 0).then_some(())).await;
    let more = db.count(RUNS).await - runs;
    println!("{runs} runs before the first stop, {more} before the second");
    assert!((10..=2 * 41).contains(&more), "{more} runs of 41 jobs");
    published(&host.admin(), guest("0.3.0")).await;
    let completed =
        "SELECT count(*) FROM jobs_archive WHERE state = 'completed' AND job_type = 'guest' AND attempt <= 2";
    eventually("a good one ends them all", async || (db.count(completed).await == 41).then_some(())).await;
    let now = host.admin().get("/alerts").await.body;
    assert!(now["items"].as_array().is_some(), "{now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_computes_without_end_on_every_job_is_rolled_back() {
    let db = Db::new().await;
    // What takes the processor must not look like a node that stood still.
    let options = HostOptions { queues: slow_queues(), cluster: patient(), ..judged() };
    let host = Host::start(&db, None, options).await;
    published(&host.admin(), built("guest.wasm")).await;
    published(&host.admin(), guest("0.2.0")).await;
    let alert = stop_by(&host, "guest", "loop").await;
    assert_eq!(alert["detail"]["nowServes"], "0.1.0", "{alert}");
    serves(&host.client(), "guest", "0.1.0").await;
    let told = "SELECT count(*) FROM jobs WHERE errors::text LIKE '%cpu-limit%'";
    eventually("each met its limit", async || (db.count(told).await == 10).then_some(())).await;
    let left = "SELECT count(*) FROM jobs WHERE attempt > 0";
    eventually("they have their attempts back", async || (db.count(left).await == 0).then_some(())).await;
    let id = host.client().submit("guest", json!({"do": "ok"})).await;
    host.client().wait(&id, "completed").await;
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE state = 'dead'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_a_slow_provider_until_the_wall_stop_no_release() {
    let (db, service) = (Db::new().await, ActingService::start().await);
    let slow = FaultProxy::start(&service.base).await;
    // The wall of these jobs is a second.
    slow.on("GET /reads", 12, Fault::Delay(Duration::from_secs(2)));
    let upstream = format!("[upstreams.rig]\nbase_url = \"{}\"\nmethods = [\"GET\"]\ntimeout = \"5s\"\n", slow.base);
    let config = judged().config + &upstream;
    let options = HostOptions {
        config,
        queues: slow_queues(),
        cluster: patient(),
        plugins: vec!["guest-effects.wasm"],
        ..judged()
    };
    let host = Host::start(&db, None, options).await;
    let client = host.client();
    let mut jobs = Vec::new();
    for _ in 0..12 {
        jobs.push(
            client.submit("guest-mail-hasty", json!({"do": "upstream", "method": "get", "path": "/reads"})).await,
        );
    }
    for id in &jobs {
        client.wait_error(id, "wall-limit").await;
    }
    let burnt = "SELECT count(*) FROM jobs WHERE state = 'scheduled' AND attempt = 1";
    assert_eq!(db.count(burnt).await, 12, "each cost an attempt, as any time-out");
    assert_eq!(plugin(&client, "guest-effects").await["state"], "active");
    db.execute("UPDATE jobs SET run_at = now()").await;
    for id in &jobs {
        assert_eq!(client.wait(id, "completed").await["attempt"], 2);
    }
    assert_eq!(service.reads(), 12, "what was answered after the wall is in the journal");
    assert_eq!(plugin(&client, "guest-effects").await["state"], "active");
    assert_eq!(db.count("SELECT count(*) FROM audit_log WHERE action = 'plugin.quarantine'").await, 0);

    // The same release, the same limits: what its own code does counts.
    assert_eq!(stop_by(&host, "guest-mail", "loop").await["detail"]["nowServes"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_died_before_it_was_stopped_come_back() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { queues: deadly(), ..judged() }).await;
    published(&host.admin(), built("guest.wasm")).await;
    published(&host.admin(), built("guest-broken.wasm")).await;
    for n in 0..12 {
        let job_type = if n % 2 == 0 { "guest" } else { "guest-money" };
        host.client().submit(job_type, json!({"do": "ok"})).await;
    }
    alert(&host).await;
    let completed = "SELECT count(*) FROM jobs_archive WHERE state = 'completed'";
    eventually("all complete on the good release", async || (db.count(completed).await == 12).then_some(())).await;
    let redriven = db.count("SELECT count(*) FROM jobs_archive WHERE redrives > 0").await;
    assert!(redriven >= 9, "{redriven} had died of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_guests_say_and_one_poisonous_job_stop_no_release() {
    let db = Db::new().await;
    let host = Host::start(&db, None, judged()).await;
    published(&host.admin(), built("guest.wasm")).await;
    let client = host.client();
    let poison = client.submit("guest-money", json!({"do": "panic"})).await;
    for n in 0..30 {
        let step = if n % 2 == 0 { json!({"do": "permanent"}) } else { json!({"do": "retry"}) };
        client.submit("guest", step).await;
    }
    for _ in 0..8 {
        client.submit("guest", json!({"do": "panic"})).await;
    }
    let ended = "SELECT count(*) FROM jobs_archive WHERE state = 'dead'";
    eventually("they end by themselves", async || (db.count(ended).await == 39).then_some(())).await;
    assert_eq!(client.job(&poison).await["attempt"], 11, "eleven traps of one job");
    assert_eq!(plugin(&client, "guest").await["state"], "active");
    assert_eq!(db.count("SELECT count(*) FROM audit_log WHERE action = 'plugin.quarantine'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_job_does_not_hold_up_a_quarantine() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { queues: slow_queues(), ..judged() }).await;
    published(&host.admin(), built("guest-broken.wasm")).await;
    for _ in 0..5 {
        host.client().submit("guest-money", json!({"do": "ok"})).await;
    }
    let burnt = "SELECT count(*) FROM jobs WHERE state = 'scheduled' AND errors <> '[]'";
    eventually("they trap", async || (db.count(burnt).await == 5).then_some(())).await;
    let mut held = db.pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM jobs FOR UPDATE").execute(&mut *held).await.unwrap();
    stop(&host, "guest-money").await;
    held.rollback().await.unwrap();
    let left = "SELECT count(*) FROM jobs WHERE attempt > 0";
    eventually("they get their attempts back", async || (db.count(left).await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_provider_is_asked_anew_for_what_it_refused_because_a_release_was_stopped() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    sink.say_always("rcpt", "550 5.1.1 no such user").await;
    let options = HostOptions { queues: deadly(), plugins: vec!["guest-effects.wasm"], ..judged() };
    let host = Host::start(&db, Some(&sink), options).await;
    let refused = json!({"do": "mail", "to": "a@example.com", "catch": true});
    let job = json!({"do": "steps", "steps": [refused, {"do": "panic"}]});
    for _ in 0..12 {
        host.client().submit("guest-mail", job.clone()).await;
    }
    alert(&host).await;
    let back = "SELECT count(*) FROM jobs WHERE redrives > 0";
    eventually("those that died of it are back", async || (db.count(back).await >= 9).then_some(())).await;
    let anew = "SELECT count(*) FROM jobs j WHERE redrives > 0 AND (generation > 0 OR NOT EXISTS \
                (SELECT FROM effects e WHERE e.job_id = j.id AND e.answer ->> 'kind' = 'rejected'))";
    assert_eq!(db.count(anew).await, 0, "their journals are as they were");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_doubt_that_is_to_end_does_not_go_round_while_its_release_is_stopped() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let options = HostOptions { queues: slow_queues(), plugins: vec!["guest-effects.wasm"], ..judged() };
    let host = Host::start(&db, Some(&sink), options).await;
    let client = host.client();
    let id = client.submit("guest-mail", json!({"do": "mail-then-fail-once", "to": "a@example.com"})).await;
    client.wait(&id, "scheduled").await;
    // As if it were of those that can be asked about.
    db.execute(&format!(
        "UPDATE effects SET class = 'asked', state = 'doubt', answer = NULL, ended_at = NULL WHERE job_id = '{id}'"
    ))
    .await;
    stop(&host, "guest-mail").await;
    let cancelled = host.admin().send(Method::DELETE, &format!("/jobs/{id}"), None).await;
    assert!(cancelled.status.is_success(), "{}", cancelled.body);
    client.wait_error(&id, "no-release").await;
    assert_eq!(client.job(&id).await["state"], "scheduled", "it looks again after a while");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_good_release_does_not_replay_waits_and_does_not_die() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let options = HostOptions { queues: slow_queues(), plugins: vec!["guest-effects.wasm"], ..judged() };
    let host = Host::start(&db, Some(&sink), options).await;
    let (admin, client) = (host.admin(), host.client());
    published(&admin, version("guest-effects.wasm", "guests/effects.toml", "0.2.0")).await;
    let id = client.submit("guest-mail", json!({"do": "mail-then-fail-once", "to": "a@example.com"})).await;
    client.wait(&id, "scheduled").await;
    // As if 0.2.0 had asked for something else than 0.1.0 does.
    let asked = format!("SELECT encode(request_hash, 'hex') FROM effects WHERE job_id = '{id}'");
    let asked = db.text(&asked).await.unwrap();
    let ask = |hash: &str| format!("UPDATE effects SET request_hash = {hash} WHERE job_id = '{id}'");
    db.execute(&ask("sha256('other')")).await;
    assert_eq!(stop(&host, "guest-mail").await["detail"]["nowServes"], "0.1.0");
    let due = format!("UPDATE jobs SET run_at = now() WHERE id = '{id}'");
    db.execute(&due).await;
    let error = client.wait_error(&id, "no-release").await;
    assert!(error["message"].as_str().unwrap().contains("quarantine"), "{error}");
    assert_eq!(client.job(&id).await["state"], "scheduled");

    // Nobody is sent to a release that runs nowhere.
    let dead = client.submit("guest-mail", json!({"do": "permanent"})).await;
    client.wait(&dead, "dead").await;
    let digest = "SELECT 'sha256:' || encode(digest, 'hex') FROM releases WHERE version = '0.2.0'";
    let digest = db.text(digest).await.unwrap();
    let retried = admin.send(Method::POST, &format!("/jobs/{dead}/retry"), Some(json!({"release": digest}))).await;
    is(&retried, StatusCode::CONFLICT, "release-quarantined");
    for (verb, body) in
        [("migrate", json!({"from": "0.1.0", "to": "0.2.0"})), ("rollback", json!({"version": "0.2.0"}))]
    {
        is(&change(&admin, "guest-effects", verb, Some(body)).await, StatusCode::CONFLICT, "release-quarantined");
    }

    db.execute(&ask(&format!("decode('{asked}', 'hex')"))).await;
    db.execute(&due).await;
    client.wait(&id, "completed").await;
    assert_eq!(sink.mails().await.len(), 1, "replayed, not sent again");
}
