use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    support::{Client, Db, Host, HostOptions, Receiver, token},
    webhooks,
};

async fn send(client: &Client, method: Method, path: &str, body: Value) -> Value {
    let answer = client.send(method, path, Some(body)).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.body);
    answer.body
}

async fn entries(admin: &Client, query: &str) -> Vec<Value> {
    let audit = admin.get(&format!("/audit?{query}")).await;
    assert_eq!(audit.status, StatusCode::OK, "{query}: {}", audit.body);
    audit.body["items"].as_array().unwrap().clone()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

/// What the test below does, newest first.
const DONE: [&str; 17] = [
    "webhook-endpoint.delete",
    "webhook-endpoint.rotate",
    "webhook-endpoint.change",
    "webhook-endpoint.create",
    "token.revoke",
    "cache.flush",
    "jobs.redrive",
    "job.retry",
    "provider.resume",
    "provider.pause",
    "rate-limit.set",
    "limit.set",
    "limit.set",
    "queue.resume",
    "queue.clear",
    "job.cancel",
    "queue.pause",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_an_admin_is_written_down_and_found_by_who_what_and_when() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let config = webhooks::config(&[receiver.place()]);
    let host = Host::start(&db, None, HostOptions { config, ..HostOptions::default() }).await;
    let (admin, user) = (host.admin(), host.client());
    let venue = Client::new(&host.base, token("venue_admin", Some("t1")));
    let post = Method::POST;
    // What changes nothing leaves nothing: the second pause and resume.
    for _ in 0..2 {
        send(&admin, post.clone(), "/queues/background/pause", json!({})).await;
    }
    let (first, _) = (user.submit("guest", json!({"do": "ok"})).await, user.submit("guest", json!({"do": "ok"})).await);
    send(&venue, Method::DELETE, &format!("/jobs/{first}"), json!({})).await;
    send(&admin, post.clone(), "/queues/background/clear", json!({ "confirm": "background" })).await;
    for _ in 0..2 {
        send(&admin, post.clone(), "/queues/background/resume", json!({})).await;
    }
    send(&admin, Method::PUT, "/limits/queue/money", json!({ "max": 5 })).await;
    send(&admin, Method::PUT, "/limits/queue/money", json!({ "max": null })).await;
    send(&admin, Method::PUT, "/rate-limits/provider/stripe", json!({ "rate": "5/s" })).await;
    for what in ["pause", "pause", "resume", "resume"] {
        send(&admin, post.clone(), &format!("/providers/stripe/{what}"), json!({ "tenant": "t1" })).await;
    }
    let dead = user.submit("guest", json!({"do": "permanent"})).await;
    user.wait(&dead, "dead").await;
    send(&admin, post.clone(), &format!("/jobs/{dead}/retry"), json!({})).await;
    send(&admin, post.clone(), "/jobs/bulk/retry", json!({ "filter": {}, "preview": true })).await;
    send(&admin, post.clone(), "/jobs/bulk/retry", json!({ "filter": { "tenant": "nobody" } })).await;
    send(&admin, post.clone(), "/cache/flush", json!({})).await;
    send(&admin, post.clone(), "/revocations", json!({ "jti": "x" })).await;
    let made = send(&venue, post.clone(), "/webhook-endpoints", json!({ "url": receiver.url() })).await;
    let endpoint = format!("/webhook-endpoints/{}", made["id"].as_str().unwrap());
    send(&venue, Method::PATCH, &endpoint, json!({ "description": "ours" })).await;
    send(&venue, post.clone(), &format!("{endpoint}/rotate"), json!({})).await;
    let since = json!({ "since": "2020-01-01T00:00:00Z" });
    send(&venue, post.clone(), &format!("{endpoint}/replay"), since).await;
    send(&venue, Method::DELETE, &endpoint, json!({})).await;

    let all = entries(&admin, "subject=u1").await;
    assert_eq!(actions(&all), DONE);
    // Whose it was, what it was about, and no secret or address.
    let of = |action: &str| all.iter().find(|entry| entry["action"] == action).unwrap();
    assert_eq!(
        (&of("job.cancel")["tenant"], &of("job.cancel")["target"]),
        (&json!("t1"), &json!(format!("job/{first}")))
    );
    assert_eq!((&of("job.retry")["tenant"], &of("queue.clear")["detail"]["cleared"]), (&json!("t1"), &json!(1)));
    assert_eq!(of("rate-limit.set")["detail"]["rate"], "5/s");
    assert!(!json!(all).to_string().contains(&receiver.url()) && !json!(all).to_string().contains("whsec_"));
    // By what, whose, when, and all at once; strangers' words match nothing.
    assert_eq!(actions(&entries(&admin, "action=limit.set").await), ["limit.set", "limit.set"]);
    assert_eq!(actions(&entries(&admin, "target=queue/background&subject=u1").await), [DONE[13], DONE[14], DONE[16]]);
    assert_eq!(entries(&admin, "tenant=t1&subject=u1").await.len(), 8);
    assert_eq!(entries(&admin, "subject=u2").await, Vec::<Value>::new());
    assert_eq!(entries(&admin, "action=limit.set'%20OR%20true--").await, Vec::<Value>::new());
    let at = all[5]["at"].as_str().unwrap();
    assert_eq!(actions(&entries(&admin, &format!("subject=u1&since={at}")).await), DONE[..6]);
    assert_eq!(actions(&entries(&admin, &format!("subject=u1&until={at}")).await), DONE[6..]);

    // Page by page, and what is written meanwhile moves nothing.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/audit?subject=u1&limit=5{cursor}")).await.body;
        seen.extend(page["items"].as_array().unwrap().clone());
        send(&admin, Method::PUT, "/limits/queue/money", json!({ "max": seen.len() })).await;
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(actions(&seen), DONE);
    assert_eq!(venue.get("/audit").await.status, StatusCode::FORBIDDEN);
    // It is append-only, for the database too.
    assert!(sqlx::query("UPDATE audit_log SET subject = 'nobody'").execute(&db.pool).await.is_err());
    assert!(sqlx::query("DELETE FROM audit_log").execute(&db.pool).await.is_err());
}
