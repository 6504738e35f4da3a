//! Push notifications by way of FCM's shape.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{PushRig, later, notification, reply, result};
use crate::support::{
    Fault,
    fcm::{self, UNREGISTERED},
};

const TOKEN: &str = "fGh3k2mQR0:APA91bH-token-of-annas-telephone_0123456789";
const SEND: &str = "POST /v1/projects/";

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_reaches_a_device_or_a_topic_as_the_description_allows() {
    let rig = PushRig::start("resend").await;
    let mut asked = notification(TOKEN);
    asked["data"] = json!([["ticket", "t-1"], ["collapse_key", "mine"]]);
    let sent = result(&rig.host, asked).await;
    assert_eq!(sent, json!({"id": format!("projects/{}/messages/1", fcm::PROJECT)}));
    result(&rig.host, json!({"do": "push", "topic": "news.eu-1", "title": "News", "body": "🎟"})).await;
    let [first, second] = rig.fcm.messages().try_into().unwrap();
    assert_eq!(first["token"], TOKEN);
    assert_eq!(first["notification"], json!({"title": "Doors are open", "body": "Come in."}));
    assert_eq!(first["data"], json!({"ticket": "t-1", "collapse_key": "mine"}));
    assert_eq!(
        (&second["topic"], &second["token"], &second["data"]),
        (&json!("news.eu-1"), &Value::Null, &Value::Null)
    );
    // By these a device knows the copies of one notification; another one has others.
    for message in [&first, &second] {
        let name = message["android"]["notification"]["tag"].as_str().unwrap();
        assert_eq!(name.len(), 36);
        assert_eq!(message["apns"]["headers"]["apns-collapse-id"], name);
        assert_eq!(message["webpush"]["notification"]["tag"], name);
        let topic = message["webpush"]["headers"]["Topic"].as_str().unwrap();
        assert!(
            topic.len() <= 32 && topic.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
            "{topic}"
        );
        assert_eq!(message["android"]["collapseKey"], Value::Null, "FCM keeps four of them");
    }
    assert_ne!(first["android"], second["android"]);
    assert_ne!(first["webpush"], second["webpush"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn send_push_sends_what_its_schema_takes() {
    let rig = PushRig::start("resend").await;
    let client = rig.host.client();
    let payload = json!({"token": TOKEN, "title": "Doors are open", "body": "Come in.", "data": {"b": "2", "a": "1"}});
    let id = client.submit("send-push", payload.clone()).await;
    client.wait(&id, "completed").await;
    let again = client.post(json!({"type": "send-push", "payload": payload}).to_string()).await;
    assert_eq!(again.body["id"], id.as_str(), "the same payload is the same job: {}", again.body);
    assert_eq!(rig.fcm.messages()[0]["data"], json!({"a": "1", "b": "2"}));
    for (name, value) in [
        ("topic", json!("news")),
        ("title", json!("")),
        ("data", json!({"from": "x"})),
        ("data", json!({"google.x": "x"})),
        ("data", json!({"n": 1})),
    ] {
        let mut wrong = payload.clone();
        wrong[name] = value;
        let answer = client.post(json!({"type": "send-push", "payload": wrong}).to_string()).await;
        assert_eq!(answer.status.as_u16(), 422, "{wrong}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_would_refuse_or_is_not_granted_never_leaves() {
    let rig = PushRig::start("resend").await;
    let long = "x".repeat(4_097);
    for (what, kind, why) in [
        (json!({"token": ""}), "invalid", "target: "),
        (json!({"token": "a b"}), "invalid", "target: "),
        (json!({"token": "a\nb"}), "invalid", "target: "),
        (json!({"token": long}), "invalid", "target: "),
        (json!({"topic": "/topics/news"}), "invalid", "target: "),
        (json!({"topic": ""}), "invalid", "target: "),
        (json!({"token": TOKEN, "title": ""}), "invalid", "title and body"),
        (json!({"token": TOKEN, "body": ""}), "invalid", "title and body"),
        (json!({"token": TOKEN, "body": long}), "invalid", "title, body and data have"),
        (json!({"topic": "news", "body": "x".repeat(2_049)}), "invalid", "title, body and data have"),
        (json!({"token": TOKEN, "data": [["from", "x"]]}), "invalid", "data: "),
        (json!({"token": TOKEN, "data": [["message_type", "x"]]}), "invalid", "data: "),
        (json!({"token": TOKEN, "data": [["google.c.a", "x"]]}), "invalid", "data: "),
        (json!({"token": TOKEN, "data": [["gcm", "x"]]}), "invalid", "data: "),
        (json!({"token": TOKEN, "data": [["", "x"]]}), "invalid", "data: "),
        (json!({"token": TOKEN, "data": [["a", "1"], ["a", "2"]]}), "invalid", "data: "),
        (json!({"token": TOKEN, "profile": "other"}), "denied", "grants.push does not name"),
        (json!({"token": TOKEN, "profile": "ghost"}), "denied", "grants.push does not name"),
    ] {
        let mut asked = json!({"do": "push", "title": "t", "body": "b", "catch": true});
        asked.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        let got = result(&rig.host, asked.clone()).await;
        assert_eq!(got["error"], kind, "{asked}: {got}");
        assert!(got["message"].as_str().unwrap().starts_with(why), "{asked}: {got}");
    }
    assert_eq!((rig.proxy.seen().len(), rig.desk.seen().len()), (0, 0), "nothing left, and no token was bought");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_guests_to_read_by_the_services_own_word() {
    let rig = PushRig::start("resend").await;
    let mut asked = notification(UNREGISTERED);
    asked["catch"] = json!(true);
    let got = result(&rig.host, asked).await;
    assert_eq!(
        (&got["error"], &got["code"], &got["status"]),
        (&json!("rejected"), &json!("UNREGISTERED"), &json!(404)),
        "{got}"
    );
    let mut asked = notification(TOKEN);
    asked["catch"] = json!(true);
    for (status, word, code, told) in [
        (400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), "INVALID_ARGUMENT"),
        (400, "INVALID_ARGUMENT", None, "INVALID_ARGUMENT"),
        (403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), "SENDER_ID_MISMATCH"),
    ] {
        let said = format!("The token {TOKEN} is not one of ours.");
        rig.proxy.on(SEND, 1, Fault::Answer(reply(status, &fcm::error(status, word, code, &said))));
        let got = result(&rig.host, asked.clone()).await;
        assert_eq!((&got["error"], &got["code"]), (&json!("rejected"), &json!(told)), "{got}");
        assert!(!got.to_string().contains(TOKEN) && got.to_string().contains("fGh3k2…"), "{got}");
    }
    assert_eq!(rig.fcm.messages().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_has_to_mend_is_waited_for_and_burns_no_attempt() {
    let rig = PushRig::start("park").await;
    let client = rig.host.client();
    for (status, word, code) in [
        (401, "UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR")),
        (403, "PERMISSION_DENIED", None),
        (404, "NOT_FOUND", None),
    ] {
        rig.proxy.on(SEND, 1, Fault::Answer(reply(status, &fcm::error(status, word, code, "No."))));
        let id = client.submit("guest-message", notification(TOKEN)).await;
        client.wait_error(&id, "effect-snooze").await;
        let job = client.wait(&id, "completed").await;
        assert_eq!(job["attempt"], 1, "{status}: {job}");
    }
    assert_eq!(rig.fcm.messages().len(), 3, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_now_is_tried_again_after_the_time_that_was_said() {
    let rig = PushRig::start("park").await;
    let client = rig.host.client();
    for (status, word, code) in [(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), (503, "UNAVAILABLE", "UNAVAILABLE")] {
        rig.proxy.on(SEND, 1, Fault::Answer(later(status, &fcm::error(status, word, Some(code), "Later."), 2)));
        let began = Instant::now();
        let id = client.submit("guest-message", notification(TOKEN)).await;
        let job = client.wait(&id, "completed").await;
        assert_eq!(job["attempt"], 2, "{status}: {job}");
        assert!(began.elapsed() >= Duration::from_secs(2), "{status}: {:?}", began.elapsed());
    }
    assert_eq!(rig.fcm.messages().len(), 2, "each once");
}

/// What leaves open whether it went out: the fault, and whether the service heard of it.
fn doubts() -> Vec<(&'static str, Fault, bool)> {
    vec![
        ("cut", Fault::CutAfter, true),
        ("500", Fault::Answer(reply(500, &fcm::error(500, "INTERNAL", Some("INTERNAL"), "Internal."))), false),
        ("a gateway's 503", Fault::Answer(reply(503, &Value::Null)), false),
        ("200 without a name", Fault::Answer(reply(200, &json!({}))), false),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_notification_in_doubt_bear_one_name() {
    let rig = PushRig::start("resend").await;
    let client = rig.host.client();
    for (what, fault, heard) in doubts() {
        let before = rig.fcm.messages().len();
        rig.proxy.on(SEND, 1, fault);
        let id = client.submit("guest-message", notification(TOKEN)).await;
        client.wait(&id, "completed").await;
        let messages = rig.fcm.messages().split_off(before);
        assert_eq!(messages.len(), 1 + usize::from(heard), "{what}: at least once");
        assert!(messages.iter().all(|message| *message == messages[0]), "{what}: {messages:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_in_doubt_is_left_to_a_person_where_the_profile_says_park() {
    let rig = PushRig::start("park").await;
    let client = rig.host.client();
    for (what, fault, heard) in doubts() {
        let before = rig.fcm.messages().len();
        rig.proxy.on(SEND, 1, fault);
        let id = client.submit("guest-message", notification(TOKEN)).await;
        let job = client.wait(&id, "dead").await;
        assert_eq!(job["reason"], "unknown-outcome", "{what}: {job}");
        assert_eq!(rig.fcm.messages().len() - before, usize::from(heard), "{what}: at most once");
    }
}
