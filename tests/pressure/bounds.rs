//! How long and how deep a request may be.

use reqwest::Method;
use serde_json::{Value, json};

use super::{caller, idle, say};
use crate::support::{Answer, Db, Host};

/// Of an answer as it came over the wire.
fn problem(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    assert!(head.to_ascii_lowercase().contains("content-type: application/problem+json"), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(body["status"], status, "{answer}");
    (status, body["type"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_long_or_no_heads_are_told_so() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle("")).await;
    let get =
        |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let long = |bytes: usize| format!("x-long: {}\r\n", "y".repeat(bytes));
    let urn = |slug: &str| json!(format!("urn:usher:problem:{slug}"));
    for (request, status, slug) in [
        (get(&format!("/jobs?cursor={}", "x".repeat(9 << 10)), ""), 414, "uri-too-long"),
        (get("/health/live", &many(120)), 431, "headers-too-large"),
        (get("/health/live", &long(20 << 10)), 431, "headers-too-large"),
        (get("/health/live", "no header\r\n"), 400, "malformed-request"),
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed-request"),
    ] {
        assert_eq!(problem(&say(&host, &request).await), (status, urn(slug)), "{slug}");
    }
    // Just within.
    for request in [get("/health/live", &many(90)), get("/health/live", &long(15_000))] {
        assert!(say(&host, &request).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    let path = get(&format!("/{}", "x".repeat(8_000)), "");
    assert_eq!(problem(&say(&host, &path).await), (404, urn("not-found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_ten_thousand_levels_is_refused_wherever_it_stands() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle("")).await;
    let venue = caller(&host, "v", "venue_admin", Some("t1"));
    let arrays = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for deep in [&arrays, &objects] {
        let job = |field: &str| format!("{{\"type\":\"guest\",\"payload\":{{\"do\":\"ok\"}},\"{field}\":{deep}}}");
        let payload = format!("{{\"type\":\"guest\",\"payload\":{{\"do\":\"ok\",\"echo\":{deep}}}}}");
        let mut bodies = vec![deep.clone(), payload.clone(), "[".repeat(100_000)];
        bodies.extend(["metadata", "priority", "runAt", "tenant", "orderingKey", "other"].map(job));
        let refused = |answer: Answer, body: &str| {
            let status = answer.status.as_u16();
            assert!(status == 422 || status == 400, "{}: {status} {}", &body[..60], answer.body);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
        };
        for body in &bodies {
            refused(venue.post(body.clone()).await, body);
        }
        for body in [deep.clone(), format!("{{\"jobs\":{deep}}}"), format!("{{\"jobs\":[{payload}]}}")] {
            let request = venue.request(Method::POST, "/jobs/batch").header("content-type", "application/json");
            let answer = request.body(body.clone()).send().await.unwrap();
            refused(crate::support::read(answer).await, &body);
        }
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
}
