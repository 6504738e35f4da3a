//! How often callers and tenants may submit, over all hosts.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{caller, header, idle, submit};
use crate::support::{Answer, Client, Db, Host, HostOptions, eventually, token};

/// Nothing is refilled while a test runs.
fn of_tenants(burst: u32) -> String {
    format!("[rate_limits]\n\"submit/tenant/*\" = {{ rate = \"1/h\", burst = {burst} }}\n")
}

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
    assert_eq!(answer.body["type"], "urn:usher:problem:rate-limited");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
}

async fn put(client: &Client, bucket: &str, body: Value) -> StatusCode {
    client.send(Method::PUT, &format!("/rate-limits/{bucket}"), Some(body)).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_waits_as_long_as_it_is_told_comes_in() {
    let db = Db::new().await;
    let limits = "[rate_limits]\n\"submit/caller/*/*\" = { rate = \"20/m\", burst = 3 }\n";
    let host = Host::start(&db, None, idle(limits)).await;
    let (one, other) = (host.client(), caller(&host, "u2", "user", Some("t1")));
    let mut taken = Vec::new();
    let limited = loop {
        let answer = submit(&one, "guest").await;
        assert_eq!(header(&answer, "ratelimit-policy"), "\"caller\";q=3;w=9");
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
        taken.push(header(&answer, "ratelimit").to_owned());
        assert!(taken.len() < 30, "somebody is limited");
    };
    assert!(taken.len() >= 3 && taken[0].starts_with("\"caller\";r=2;t="), "{taken:?}");
    assert_limited(&limited);
    let seconds = header(&limited, "retry-after").to_owned();
    assert_eq!(header(&limited, "ratelimit"), format!("\"caller\";r=0;t={seconds}"));
    // Another caller of the tenant, and one of the same name elsewhere, have buckets of their own.
    assert_eq!(submit(&other, "guest").await.status, StatusCode::ACCEPTED);
    let elsewhere = host.client().with_token(token("user", Some("t2")));
    assert_eq!(submit(&elsewhere, "guest").await.status, StatusCode::ACCEPTED);
    // Also what is refused for another reason says how things stand.
    let bad = other.post("{}").await;
    assert_eq!((bad.status.as_u16(), header(&bad, "ratelimit").split(';').next()), (422, Some("\"caller\"")));

    let seconds: u64 = seconds.parse().unwrap();
    assert!((1..=3).contains(&seconds), "{seconds}");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    assert_eq!(submit(&one, "guest").await.status, StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_of_a_tenant_share_its_limit_and_a_batch_counts_its_jobs() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle(&of_tenants(10))).await;
    let venue = caller(&host, "v", "venue_admin", Some("t1"));
    let batch = async |client: &Client, jobs: usize, more: Value| {
        let mut job = json!({"type": "guest", "payload": {"do": "ok"}});
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.send(Method::POST, "/jobs/batch", Some(json!({"jobs": vec![job; jobs]}))).await
    };
    let answer = batch(&venue, 6, json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(header(&answer, "ratelimit-policy"), "\"tenant\";q=10;w=36000");
    assert!(header(&answer, "ratelimit").starts_with("\"tenant\";r=4;t="), "{:?}", answer.headers);
    // All or nothing.
    assert_limited(&batch(&venue, 5, json!({})).await);
    // No wait makes room for these.
    let answer = batch(&venue, 11, json!({})).await;
    assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["pointer"]), (422, &json!("/jobs")));
    assert_eq!(submit(&host.client(), "guest").await.status, StatusCode::ACCEPTED);
    // Who acts for the tenant takes of its tokens.
    let answer = batch(&host.admin(), 3, json!({"tenant": "t1"})).await;
    assert_eq!(
        (answer.status, header(&answer, "ratelimit").split(";t=").next()),
        (StatusCode::OK, Some("\"tenant\";r=0"))
    );
    assert_limited(&submit(&host.client(), "guest").await);
    assert_eq!(batch(&host.admin(), 3, json!({"tenant": "t2"})).await.status, StatusCode::OK);
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE tenant = 't1'").await, 10);

    // A caller's limit and the tenant's: each is named.
    assert_eq!(put(&host.admin(), "submit/caller/t3/u1", json!({"rate": "1/h", "burst": 2})).await, StatusCode::OK);
    let third = host.client().with_token(token("user", Some("t3")));
    let answer = submit(&third, "guest").await;
    assert_eq!(header(&answer, "ratelimit-policy"), "\"caller\";q=2;w=7200, \"tenant\";q=10;w=36000");
    assert!(header(&answer, "ratelimit").contains(", \"tenant\";r=9;t="), "{:?}", answer.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_let_in_together_what_is_allowed_and_hear_of_a_change_at_once() {
    let db = Db::new().await;
    let config = of_tenants(40);
    let one = Host::start(&db, None, idle(&config)).await;
    let two = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..idle(&config) }).await;
    let accepted = async |count: usize| {
        let clients = [one.client(), two.client()];
        let answers = join_all((0..count).map(|n| submit(&clients[n % 2], "guest"))).await;
        answers.iter().filter(|answer| answer.status == StatusCode::ACCEPTED).count()
    };
    eventually("the other host knows the job type", async || {
        (two.client().post("{\"type\":\"guest\",\"payload\":{\"do\":7}}").await.body["type"]
            == "urn:usher:problem:invalid-payload")
            .then_some(())
    })
    .await;
    // Those submits were let in before they were refused.
    let refused = db.count("SELECT round(line)::bigint FROM rate_buckets").await;
    let taken = accepted(100).await;
    assert_eq!(taken as i64 + refused, 40);

    let (user, admin) = (one.client(), one.admin());
    let more = json!({"rate": "1/h", "burst": 60});
    for client in [&user, &caller(&one, "v", "venue_admin", Some("t1"))] {
        assert_eq!(put(client, "submit/tenant/t1", more.clone()).await, StatusCode::FORBIDDEN);
    }
    for bucket in ["submit/tenant", "submit/caller/t1", "submit/tenant/a/b", "submit/nobody/x"] {
        assert_eq!(put(&admin, bucket, more.clone()).await, StatusCode::NOT_FOUND, "{bucket}");
    }
    assert_eq!(put(&admin, "submit/tenant/t1", more).await, StatusCode::OK);
    let list = |list: Value| {
        let limits = list["rateLimits"].as_array().unwrap().clone();
        limits.into_iter().map(|l| (l["bucket"].as_str().unwrap().to_owned(), l["burst"].clone())).collect::<Vec<_>>()
    };
    let shown = [("submit/tenant/*".to_owned(), json!(40)), ("submit/tenant/t1".to_owned(), json!(60))];
    assert_eq!(list(two.client().get("/rate-limits").await.body), shown);
    let elsewhere = two.client().with_token(token("user", Some("t2")));
    assert_eq!(list(elsewhere.get("/rate-limits").await.body), shown[..1]);
    let mut taken = 0;
    eventually("twenty more come in", async || {
        taken += accepted(10).await;
        (taken >= 20).then_some(())
    })
    .await;
    assert_eq!((taken, accepted(20).await), (20, 0), "on both");
    let audit = admin.get("/audit?target=rate-limit/submit/tenant/t1").await.body.to_string();
    assert!(audit.contains("rate-limit.set") && audit.contains("60"), "{audit}");
}
