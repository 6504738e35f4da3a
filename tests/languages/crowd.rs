//! Many at once: a pool that is full makes guests wait, and burns nobody's attempt.

use super::{Rig, compiled, options, order};
use crate::support::{Db, FaultProxy, Host, HostOptions, Sink, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_heavy_guests_and_a_thousand_light_ones_all_run_once() {
    compiled().await;
    let (db, sink) = (Db::new().await, Sink::start().await);
    let mut options = options("http://127.0.0.1:1");
    options.plugins.push("guest.wasm");
    options.concurrency = 1_300;
    options.filter = "info";
    let host = Host::start(&db, Some(&sink), options).await;
    let pause = async |verb: &str, queue: &str| {
        let path = format!("/queues/{queue}/{verb}");
        assert_eq!(host.admin().send(reqwest::Method::POST, &path, None).await.status, 200);
    };
    for queue in ["money", "communication"] {
        pause("pause", queue).await;
    }
    let many = async |job_type: &str, payload: &str, count: u32| {
        db.execute(&format!(
            "SELECT count(usher.submit('t1', '{job_type}', '{payload}')) FROM generate_series(1, {count})"
        ))
        .await;
    };
    let print = r#"{"orderId": "o", "email": "e", "items": [{"sku": "a", "quantity": 1}], "trouble": "print"}"#;
    many("order-ts", print, 100).await;
    many("order-py", print, 100).await;
    many("guest-money", r#"{"do": "spin", "ms": 5}"#, 1_000).await;
    eventually("they are checked", async || {
        (db.count("SELECT count(*) FROM jobs WHERE unchecked").await == 0).then_some(())
    })
    .await;
    for queue in ["communication", "money"] {
        pause("resume", queue).await;
    }
    eventually("all are done", async || (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())).await;
    let sum = "SELECT count(*) FROM jobs_archive WHERE state = 'completed' AND attempt = 1 AND errors = '[]'";
    assert_eq!(db.count(sum).await, 1_200);
}
