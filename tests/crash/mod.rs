//! kill -9 of the host, or a freeze past its lease, at every point of the line, made from outside: the SMTP server or a
//! receiver holds a reply, a guest computes, a session holds a row. What is asserted is seen from the other side and from the
//! database. (Money: `stripe_crash`.)

mod mail;
mod messages;
mod webhooks;

use serde_json::json;

use crate::support::{Db, Host, HostOptions};

#[tokio::test(flavor = "multi_thread")]
async fn after_the_commit_of_the_submit_the_job_is_kept() {
    let db = Db::new().await;
    let idle = HostOptions { concurrency: 0, ..HostOptions::default() };
    let mut host = Host::start(&db, None, idle).await;
    let mut ids = Vec::new();
    for job_type in ["guest", "guest-money"] {
        ids.push(host.client().submit(job_type, json!({"do": "ok", "n": ids.len()})).await);
    }
    host.kill9();
    let host = Host::start(&db, None, HostOptions::default()).await;
    for id in ids {
        host.client().wait(&id, "completed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn during_the_guest_the_attempt_is_given_back() {
    let db = Db::new().await;
    let mut host = Host::start(&db, None, HostOptions::default()).await;
    let id = host.client().submit("guest-slow", json!({"do": "spin", "ms": 3000})).await;
    host.client().wait(&id, "running").await;
    host.kill9();
    let host = Host::start(&db, None, HostOptions::default()).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["attempt"], 1, "the host's death is not the job's: {job}");
}
