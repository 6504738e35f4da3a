//! A release is swapped every second under a stream of jobs: none lost, none failed, none run twice, and each result is
//! that of the code whose digest stands on its row.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Db, Host, HostOptions, component, eventually, place};

const JOBS: usize = 50_000;
const AT_LEAST: Duration = Duration::from_secs(22);
const CONNECTIONS: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_swapped_under_load_without_loss() {
    let db = Db::new().await;
    let options =
        HostOptions { plugins: vec!["analytics.wasm"], concurrency: 256, filter: "warn", ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    let (submitted, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let began = Instant::now();
    let streams: Vec<_> = (0..CONNECTIONS)
        .map(|stream| {
            let (client, submitted, done) = (host.client(), Arc::clone(&submitted), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let n = submitted.fetch_add(1, Ordering::Relaxed);
                    client.submit("analytics-track", json!({"event": format!("event {stream} {n}")})).await;
                }
            })
        })
        .collect();
    let file = host.plugins().join("analytics.wasm");
    let releases = [component("analytics-v2.wasm"), component("analytics.wasm")];
    for n in 0.. {
        place(&releases[n % 2], &file);
        tokio::time::sleep(Duration::from_secs(1)).await;
        if began.elapsed() >= AT_LEAST && submitted.load(Ordering::Relaxed) >= JOBS {
            break;
        }
    }
    done.store(true, Ordering::Relaxed);
    for stream in streams {
        stream.await.unwrap();
    }
    let submitted = i64::try_from(submitted.load(Ordering::Relaxed)).unwrap();
    let finished = "SELECT count(*) FROM jobs_archive";
    eventually("all jobs are finished", async || (db.count(finished).await >= submitted).then_some(())).await;
    println!("{submitted} jobs in {:.1} s", began.elapsed().as_secs_f64());

    assert_eq!(db.count(finished).await, submitted, "lost or run twice");
    assert_eq!(db.count("SELECT count(DISTINCT id) FROM jobs_archive").await, submitted, "run twice");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0, "left behind");
    let failed = "SELECT count(*) FROM jobs_archive WHERE state <> 'completed' OR attempt <> 1 OR errors <> '[]'";
    assert_eq!(db.count(failed).await, 0, "failed");
    let swaps = db.count("SELECT count(*) FROM activations").await - 1;
    assert!(swaps >= 20, "{swaps} swaps");
    // Two digests, two results, and always the same pair.
    let pairs = "SELECT count(*) FROM (SELECT DISTINCT release, result::json ->> 'release' FROM jobs_archive) AS pairs";
    assert_eq!(db.count(pairs).await, 2);
    assert_eq!(db.count("SELECT count(DISTINCT release) FROM jobs_archive").await, 2);
    let matches = "SELECT count(*) FROM jobs_archive a JOIN releases r ON r.digest = a.release \
                   WHERE (a.result::json ->> 'release' = 'v2') <> (r.version = '0.2.0')";
    assert_eq!(db.count(matches).await, 0, "a result of other code than the row's digest");
}
