//! How many live jobs a tenant may have in a queue.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{caller, header, pressure, submit};
use crate::support::{Db, Host, HostOptions, eventually, token};

const THREE: &str = "live_jobs = { money = 3 }";

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_too_many_live_jobs_waits_until_some_have_ended() {
    let db = Db::new().await;
    let host = Host::start(&db, None, pressure(THREE)).await;
    let client = host.client();
    let mut first = None;
    for _ in 0..3 {
        let answer = submit(&client, "guest-money").await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        // Nobody set a rate limit.
        assert!(!answer.headers.contains_key("ratelimit") && !answer.headers.contains_key("ratelimit-policy"));
        first.get_or_insert(answer.body["id"].as_str().unwrap().to_owned());
    }
    let full = submit(&client, "guest-money").await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS, "{}", full.body);
    assert_eq!(full.body["type"], "urn:usher:problem:too-many-live-jobs");
    assert_eq!((&full.body["queue"], &full.body["limit"]), (&json!("money"), &json!(3)));
    assert!(header(&full, "retry-after").parse::<u32>().is_ok());
    // Another queue, another tenant; and a batch is all or nothing.
    assert_eq!(submit(&client, "guest").await.status, StatusCode::ACCEPTED);
    let other = client.with_token(token("user", Some("t2")));
    assert_eq!(submit(&other, "guest-money").await.status, StatusCode::ACCEPTED);
    let venue = caller(&host, "v", "venue_admin", Some("t2"));
    let batch = async |jobs: usize| {
        let job = json!({"type": "guest-money", "payload": {"do": "ok"}});
        venue.send(Method::POST, "/jobs/batch", Some(json!({"jobs": vec![job; jobs]}))).await.status
    };
    assert_eq!((batch(3).await, batch(2).await), (StatusCode::TOO_MANY_REQUESTS, StatusCode::OK));
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE queue = 'money'").await, 6);
    // Another host counts the same jobs.
    let two = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..pressure(THREE) }).await;
    eventually("the other host says so, too", async || {
        (submit(&two.client(), "guest-money").await.status == StatusCode::TOO_MANY_REQUESTS).then_some(())
    })
    .await;

    let cancelled = host.admin().send(Method::DELETE, &format!("/jobs/{}", first.unwrap()), None).await;
    assert!(cancelled.status.is_success(), "{}", cancelled.body);
    eventually("there is room again", async || {
        (submit(&client, "guest-money").await.status == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    assert_eq!(submit(&client, "guest-money").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE queue = 'money' AND tenant = 't1'").await, 3);
}
