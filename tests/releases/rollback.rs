//! A rollback on three nodes under load: none lost, none failed, none run twice.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use reqwest::StatusCode;
use serde_json::json;

use super::{built, change, options, patient, plugin, published, serves, version};
use crate::{
    plugins::{manifest, repacked},
    support::{ActingService, Db, Host, HostOptions, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_on_three_nodes_under_load_loses_and_repeats_nothing() {
    let db = Db::new().await;
    let quiet = || HostOptions { concurrency: 64, filter: "warn", ..options(Vec::new()) };
    let hosts = [
        Host::start(&db, None, quiet()).await,
        Host::start(&db, None, quiet()).await,
        Host::start(&db, None, quiet()).await,
    ];
    published(&hosts[0].admin(), built("analytics.wasm")).await;
    serves(&hosts[2].client(), "analytics", "0.1.0").await;
    published(&hosts[1].admin(), built("analytics-v2.wasm")).await;
    serves(&hosts[2].client(), "analytics", "0.2.0").await;

    let (submitted, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let streams: Vec<_> = (0..24)
        .map(|stream| {
            let client = hosts[stream % 3].client();
            let (submitted, done) = (Arc::clone(&submitted), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    client.submit("analytics-track", json!({"event": format!("{stream}")})).await;
                    submitted.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let some = |n: usize| {
        let submitted = Arc::clone(&submitted);
        eventually("the load goes on", async move || (submitted.load(Ordering::Relaxed) >= n).then_some(()))
    };
    some(1_000).await;
    let began = Instant::now();
    let answer = change(&hosts[0].admin(), "analytics", "rollback", None).await;
    assert!(answer.status.is_success() && answer.body["version"] == "0.1.0", "{}", answer.body);
    serves(&hosts[2].client(), "analytics", "0.1.0").await;
    let in_effect = began.elapsed();
    some(submitted.load(Ordering::Relaxed) + 1_000).await;
    done.store(true, Ordering::Relaxed);
    for stream in streams {
        stream.await.unwrap();
    }
    let submitted = i64::try_from(submitted.load(Ordering::Relaxed)).unwrap();
    let finished = "SELECT count(*) FROM jobs_archive";
    eventually("all jobs are finished", async || (db.count(finished).await >= submitted).then_some(())).await;
    let last = "SELECT coalesce((extract(epoch FROM max(finished_at) - (SELECT max(effective_at) FROM activations)) * 1000)::bigint, 0) \
                FROM jobs_archive WHERE result::json ->> 'release' = 'v2'";
    println!(
        "{submitted} jobs; the rollback was in effect on all nodes after {in_effect:?}; the last job of the new release ended {} ms after that",
        db.count(last).await
    );
    assert_eq!(db.count(finished).await, submitted, "lost or run twice");
    assert_eq!(db.count("SELECT count(DISTINCT id) FROM jobs_archive").await, submitted, "run twice");
    let failed = "SELECT count(*) FROM jobs_archive WHERE state <> 'completed' OR attempt <> 1 OR errors <> '[]'";
    assert_eq!(db.count(failed).await, 0, "failed");
    let both = "SELECT count(DISTINCT result::json ->> 'release') FROM jobs_archive";
    assert_eq!(db.count(both).await, 2, "both releases ran");
    let matches = "SELECT count(*) FROM jobs_archive a JOIN releases r ON r.digest = a.release \
                   WHERE (a.result::json ->> 'release' = 'v2') <> (r.version = '0.2.0')";
    assert_eq!(db.count(matches).await, 0, "a result of other code than the row's digest");
}

/// Two nodes, of which one has a policy for `wants`.
async fn unequal(db: &Db) -> (Host, Host) {
    let policy = Some("[plugins.policy.analytics]\njobs = [\"x\"]\n".to_owned());
    let able = HostOptions { cluster: patient(), policy, ..options(Vec::new()) };
    let other = HostOptions { policy: Some(String::new()), ..able.clone() };
    (Host::start(db, None, able).await, Host::start(db, None, other).await)
}

/// Of this one the other node's operator knows nothing.
fn wants(version: &str) -> Vec<u8> {
    let text = manifest("analytics", "analytics-track", "").replace("money", "background").replace("1.0.0", version);
    repacked("analytics-v2.wasm", &text.replace("[[job]]", "[grants]\njobs = [\"x\"]\n[[job]]"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_activation_replaced_can_be_activated_again() {
    let db = Db::new().await;
    let (one, two) = unequal(&db).await;
    let admin = one.admin();
    published(&admin, built("analytics.wasm")).await;
    serves(&two.client(), "analytics", "0.1.0").await;
    for version in ["1.0.0", "2.0.0"] {
        assert_eq!(published(&admin, wants(version)).await["state"], "waiting");
    }
    let history = admin.get("/plugins/analytics/releases").await.body;
    assert_eq!(
        (&history["items"][0]["state"], &history["items"][1]["state"]),
        (&json!("waiting"), &json!("withdrawn"))
    );
    assert!(history["items"][1]["withdrawn"].as_str().unwrap().contains("another activation"), "{history}");
    let back = change(&admin, "analytics", "rollback", None).await;
    assert_eq!((back.status, &back.body["version"]), (StatusCode::OK, &json!("0.1.0")), "{}", back.body);
    let again = change(&admin, "analytics", "activate", Some(json!({"version": "1.0.0"}))).await;
    assert_eq!((again.status, &again.body["state"]), (StatusCode::ACCEPTED, &json!("waiting")), "{}", again.body);
    assert_eq!(plugin(&one.client(), "analytics").await["next"]["version"], "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_on_three_nodes_under_load_makes_each_call_once() {
    let (db, service) = (Db::new().await, ActingService::start().await);
    // A service that knows no keys: whatever is sent twice is done twice.
    let config = format!("[upstreams.rig]\nbase_url = \"{}\"\nmethods = [\"POST\"]\n", service.base);
    let quiet = || HostOptions { config: config.clone(), filter: "warn", ..options(Vec::new()) };
    let hosts = [
        Host::start(&db, None, quiet()).await,
        Host::start(&db, None, quiet()).await,
        Host::start(&db, None, quiet()).await,
    ];
    published(&hosts[0].admin(), built("guest-effects.wasm")).await;
    serves(&hosts[2].client(), "guest-effects", "0.1.0").await;
    published(&hosts[1].admin(), version("guest-effects.wasm", "guests/effects.toml", "0.2.0")).await;
    serves(&hosts[2].client(), "guest-effects", "0.2.0").await;

    let (submitted, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let streams: Vec<_> = (0..12)
        .map(|stream| {
            let client = hosts[stream % 3].client();
            let (submitted, done) = (Arc::clone(&submitted), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let n = submitted.fetch_add(1, Ordering::Relaxed);
                    let body = json!({"ticket": format!("t-{n}")}).to_string();
                    let call = json!({"do": "upstream", "method": "post", "path": "/once", "body": body});
                    client.submit("guest-mail", call).await;
                }
            })
        })
        .collect();
    let world = &service;
    let acted = |n: usize| eventually("the load goes on", async move || (world.acts().len() >= n).then_some(()));
    acted(200).await;
    let began = Instant::now();
    let answer = change(&hosts[0].admin(), "guest-effects", "rollback", None).await;
    assert!(answer.status.is_success() && answer.body["version"] == "0.1.0", "{}", answer.body);
    serves(&hosts[2].client(), "guest-effects", "0.1.0").await;
    let in_effect = began.elapsed();
    acted(service.acts().len() + 200).await;
    done.store(true, Ordering::Relaxed);
    for stream in streams {
        stream.await.unwrap();
    }
    let submitted = submitted.load(Ordering::Relaxed);
    let completed = "SELECT count(*) FROM jobs_archive WHERE state = 'completed' AND attempt = 1 AND errors = '[]'";
    let all = i64::try_from(submitted).unwrap();
    eventually("all jobs are completed", async || (db.count(completed).await == all).then_some(())).await;
    println!("{submitted} jobs with a call each; the rollback was in effect on all nodes after {in_effect:?}");
    let tickets: HashSet<_> = service.acts().into_iter().map(|act| act.ticket).collect();
    assert_eq!((tickets.len(), service.acts().len()), (submitted, submitted), "each ticket once");
    assert_eq!(db.count("SELECT count(DISTINCT release) FROM jobs_archive").await, 2, "both releases ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_calls_off_what_still_waits_for_a_node() {
    let db = Db::new().await;
    let (one, two) = unequal(&db).await;
    published(&one.admin(), built("analytics.wasm")).await;
    serves(&two.client(), "analytics", "0.1.0").await;
    let waits = published(&one.admin(), wants("1.0.0")).await;
    assert_eq!(waits["state"], "waiting", "{waits}");
    assert_eq!(plugin(&one.client(), "analytics").await["next"]["version"], "1.0.0");
    let back = change(&one.admin(), "analytics", "rollback", None).await;
    assert_eq!((back.status, &back.body["version"]), (StatusCode::OK, &json!("0.1.0")), "{}", back.body);
    let now = plugin(&one.client(), "analytics").await;
    assert_eq!((&now["version"], &now["next"]), (&json!("0.1.0"), &json!(null)), "{now}");
    let history = one.client().get("/plugins/analytics/releases").await.body;
    assert_eq!(history["items"][0]["state"], "withdrawn", "{history}");
    assert!(history["items"][0]["withdrawn"].as_str().unwrap().contains("rollback by u1"), "{history}");
}
