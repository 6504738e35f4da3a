use chrono::{TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::idle;
use crate::support::{Answer, Client, Db, Host, HostOptions, eventually, read, token};

async fn post(client: &Client, body: Value, headers: &[(&str, &str)]) -> Answer {
    client.post_with(body.to_string(), headers).await
}

async fn get(client: &Client, id: &str, prefer: &str) -> Answer {
    let request = client.request(Method::GET, &format!("/jobs/{id}")).header("prefer", prefer);
    read(request.send().await.unwrap()).await
}

fn applied(answer: &Answer) -> Option<&str> {
    answer.headers.get("preference-applied").map(|value| value.to_str().unwrap())
}

fn job(step: Value) -> Value {
    json!({"type": "guest", "payload": step})
}

#[tokio::test(flavor = "multi_thread")]
async fn who_prefers_to_wait_is_answered_when_the_job_has_ended() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    let wait = ("prefer", "respond-async, wait=30");
    // Completed, with its result.
    let answer = post(&client, job(json!({"do": "ok", "echo": {"a": 1}})), &[wait]).await;
    assert_eq!((answer.status, applied(&answer)), (StatusCode::OK, Some("wait=30")), "{}", answer.body);
    assert_eq!((&answer.body["state"], &answer.body["result"]), (&json!("completed"), &json!({"a": 1})));
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(answer.headers["location"], format!("/jobs/{id}").as_str());
    // Over already: at once, and a longer wish is cut.
    let again = get(&client, id, "wait=3600").await;
    assert_eq!((again.status, applied(&again)), (StatusCode::OK, Some("wait=60")));
    assert_eq!(again.body["result"], json!({"a": 1}));
    let other = client.with_token(token("user", Some("t2")));
    assert_eq!(get(&other, id, "wait=30").await.status, 404, "another tenant's");
    // Dead.
    let answer = post(&client, job(json!({"do": "permanent", "message": "no"})), &[wait]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!((&answer.body["state"], &answer.body["reason"]), (&json!("dead"), &json!("permanent")));
    // A repeat under the caller's key waits for the first.
    let body = job(json!({"do": "ok", "echo": "k"}));
    let first = post(&client, body.clone(), &[("idempotency-key", "k1")]).await;
    let repeat = post(&client, body, &[("idempotency-key", "k1"), wait]).await;
    assert_eq!((repeat.status, &repeat.body["state"]), (StatusCode::OK, &json!("completed")), "{}", repeat.body);
    assert_eq!(repeat.body["id"], first.body["id"]);
    assert!(repeat.headers["idempotency-replayed"] == "true" && repeat.headers["preference-applied"] == "wait=30");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_time_is_over_or_nothing_sound_is_asked_what_is_known_is_told() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    let later = || {
        let mut later = job(json!({"do": "ok"}));
        later["runAt"] = json!(Utc::now() + TimeDelta::hours(1));
        later
    };
    let answer = post(&client, later(), &[("prefer", "wait=1")]).await;
    assert_eq!((answer.status, applied(&answer)), (StatusCode::ACCEPTED, Some("wait=1")), "{}", answer.body);
    assert_eq!(answer.body["state"], "scheduled");
    let id = answer.body["id"].as_str().unwrap().to_owned();
    let asked = get(&client, &id, "wait=1").await;
    assert_eq!(
        (asked.status, applied(&asked), &asked.body["state"]),
        (StatusCode::ACCEPTED, Some("wait=1"), &json!("scheduled"))
    );
    // What is malformed or means something else is ignored.
    for prefer in ["wait=soon", "wait", "return=minimal", "x=\"wait=5\""] {
        let answer = post(&client, later(), &[("prefer", prefer)]).await;
        assert_eq!((answer.status, applied(&answer)), (StatusCode::ACCEPTED, None), "{prefer}");
        let asked = get(&client, &id, prefer).await;
        assert_eq!((asked.status, applied(&asked)), (StatusCode::OK, None), "{prefer}");
    }
    // Cancelled while somebody waits, by whoever may.
    let waiting = {
        let (client, id) = (client.clone(), id.clone());
        tokio::spawn(async move { get(&client, &id, "wait=50").await })
    };
    // It is there, or it comes when it is over: either way it is told.
    assert_eq!(host.admin().send(Method::DELETE, &format!("/jobs/{id}"), None).await.status, 200);
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, &answer.body["state"]), (StatusCode::OK, &json!("cancelled")));
    assert_eq!(get(&client, "nonsense", "wait=5").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_end_on_another_node_and_a_host_that_stops_answers_all() {
    let db = Db::new().await;
    let door = Host::start(&db, None, idle()).await;
    let client = door.client();
    // Nobody runs it yet.
    let waiting: Vec<_> = (0..20)
        .map(|n| {
            let client = client.clone();
            let body = json!({"type": "guest-money", "payload": {"do": "ok", "echo": n}});
            tokio::spawn(async move { post(&client, body, &[("prefer", "wait=50")]).await })
        })
        .collect();
    eventually("they are there", async || (db.count("SELECT count(*) FROM jobs").await == 20).then_some(())).await;
    let runs = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..HostOptions::default() }).await;
    for (n, answer) in waiting.into_iter().enumerate() {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, &answer.body["state"]), (StatusCode::OK, &json!("completed")), "{}", answer.body);
        assert_eq!(answer.body["result"], json!(n));
    }
    runs.terminate().await;
    let held = {
        let client = client.clone();
        let body = json!({"type": "guest-money", "payload": {"do": "ok", "echo": "held"}});
        tokio::spawn(async move { post(&client, body, &[("prefer", "wait=60")]).await })
    };
    eventually("it is there", async || (db.count("SELECT count(*) FROM jobs").await == 1).then_some(())).await;
    assert_eq!(door.terminate().await, Some(0));
    let answer = held.await.unwrap();
    assert_eq!((answer.status, &answer.body["state"]), (StatusCode::ACCEPTED, &json!("ready")), "{}", answer.body);
}
