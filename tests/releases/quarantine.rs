use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{built, change, guest, is, options, plugin, publish, published, serves};
use crate::support::{Db, Host, HostOptions, eventually};

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
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE state = 'dead'").await, 0);
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
    let runs = db.count("SELECT sum(runs)::bigint FROM jobs").await;

    // Somebody insists: it traps again, and is stopped again.
    let insists = change(&host.admin(), "guest", "activate", Some(json!({"version": "0.2.0"}))).await;
    assert_eq!(insists.status, StatusCode::OK, "{}", insists.body);
    let twice = "SELECT count(*) FROM audit_log WHERE action = 'plugin.quarantine'";
    eventually("it is stopped again", async || (db.count(twice).await == 2).then_some(())).await;
    let more = db.count("SELECT sum(runs)::bigint FROM jobs").await - runs;
    println!("{runs} runs before the first stop, {more} before the second");
    published(&host.admin(), guest("0.3.0")).await;
    let completed = "SELECT count(*) FROM jobs_archive WHERE state = 'completed' AND attempt <= 2";
    eventually("a good one ends them all", async || (db.count(completed).await == 41).then_some(())).await;
    let now = host.admin().get("/alerts").await.body;
    assert!(now["items"].as_array().is_some(), "{now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_died_before_it_was_stopped_come_back() {
    let db = Db::new().await;
    // One attempt each: every job that meets it dies at once.
    let queue = |name: &str, tier: u8| {
        format!(
            "[queues.{name}]\ntier = {tier}\nretries = 0\ndelay = \"200ms\"\nbackoff = \"fixed\"\nexpiry = \"6h\"\n"
        )
    };
    let queues = [queue("money", 1), queue("communication", 2), queue("background", 3)].concat();
    let host = Host::start(&db, None, HostOptions { queues: Some(queues), ..judged() }).await;
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
