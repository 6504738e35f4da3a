//! Many at once: a pool that is full makes guests wait, and burns nobody's attempt.

use std::time::Duration;

use serde_json::json;

use super::{compiled, options, order, shop::Shop};
use crate::support::{Db, Fault, FaultProxy, Host, Sink, eventually, within};

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_heavy_guests_and_a_thousand_light_ones_all_run_once() {
    compiled().await;
    let (db, sink) = (Db::new().await, Sink::start().await);
    let mut options = options("http://127.0.0.1:1");
    options.plugins.push("guest.wasm");
    if let Some(policy) = &mut options.policy {
        policy.push_str("[plugins.policy.guest]\njobs = [\"guest\", \"guest-money\"]\n");
    }
    // All of them are taken at once; the pool has the default's thousand slots and gibibyte.
    options.concurrency = 1_300;
    options.filter = "info";
    let host = Host::start(&db, Some(&sink), options).await;
    let queue = async |verb: &str, queue: &str| {
        let path = format!("/queues/{queue}/{verb}");
        assert_eq!(host.admin().send(reqwest::Method::POST, &path, None).await.status, 200);
    };
    queue("pause", "money").await;
    queue("pause", "communication").await;
    let many = async |job_type: &str, payload: &str, count: u32| {
        let submit = format!("usher.submit('t1', '{job_type}', '{payload}')");
        db.execute(&format!("SELECT count({submit}) FROM generate_series(1, {count})")).await;
    };
    let heavy = r#"{"orderId": "o", "email": "e", "items": [{"sku": "a", "quantity": 1}], "trouble": "print"}"#;
    many("order-ts", heavy, 100).await;
    many("order-py", heavy, 100).await;
    many("guest-money", r#"{"do": "spin", "ms": 5}"#, 1_000).await;
    eventually("they are checked", async || {
        (db.count("SELECT count(*) FROM jobs WHERE unchecked").await == 0).then_some(())
    })
    .await;
    queue("resume", "communication").await;
    queue("resume", "money").await;
    let mut most = 0;
    within(Duration::from_secs(180), "all are done", async || {
        most = most.max(db.count("SELECT count(*) FROM jobs WHERE state = 'running'").await);
        (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())
    })
    .await;
    println!("up to {most} of them were under way at once; the host has {} MiB afterwards", host.rss() >> 20);
    for (job_type, all) in [("order-ts", 100), ("order-py", 100), ("guest-money", 1_000)] {
        let of_it = format!("SELECT count(*) FROM jobs_archive WHERE job_type = '{job_type}'");
        assert_eq!(db.count(&of_it).await, all, "{job_type}: each once");
        let first_time = format!("{of_it} AND state = 'completed' AND attempt = 1");
        assert_eq!(db.count(&first_time).await, all, "{job_type}: none dead, none run again");
    }
    // Admission is exact enough that the pool and the budget never had to say no.
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE errors <> '[]'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_guests_that_wait_for_a_provider_leave_room_for_light_ones() {
    compiled().await;
    let (db, sink, shop) = (Db::new().await, Sink::start().await, Shop::start().await);
    let proxy = FaultProxy::start(&shop.base).await;
    proxy.on("GET /orders/", 100, Fault::HoldBefore);
    let mut options = options(&proxy.base);
    options.config = options.config.replace("timeout = \"5s\"", "timeout = \"50s\"");
    options.plugins.push("guest.wasm");
    if let Some(policy) = &mut options.policy {
        policy.push_str("[plugins.policy.guest]\njobs = [\"guest\", \"guest-money\"]\n");
    }
    // Each of them takes two slots: ten would be all.
    options.env = vec![("USHER_RUNTIME__SLOTS", "20".to_owned())];
    let host = Host::start(&db, Some(&sink), options).await;
    let client = host.client();
    for n in 0..12 {
        client.submit("order-ts", order(&format!("o-{n}"))).await;
    }
    proxy.wait_held(7).await;
    let id = client.submit("guest", json!({"do": "ok"})).await;
    client.wait(&id, "completed").await;
    assert_eq!(proxy.seen().len(), 7, "three quarters of the slots are theirs, and no more");
    proxy.clear();
    proxy.release();
    eventually("all are done", async || (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())).await;
    let once = "SELECT count(*) FROM jobs_archive WHERE state = 'completed' AND attempt = 1 AND errors = '[]'";
    assert_eq!(db.count(once).await, 13);
}
