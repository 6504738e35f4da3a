//! Text messages by way of Twilio's shape.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{SmsRig, later, reply, result, sms_options, text};
use crate::support::{
    Db, Fault, FaultProxy, Host, HostOptions, Reply, Twilio, eventually,
    twilio::{self, FROM, SERVICE, Text, UNSUBSCRIBED},
};

const ANNA: &str = "+4915112345678";
const SEND: &str = "POST /2010-04-01/Accounts/";

#[tokio::test(flavor = "multi_thread")]
async fn a_text_reaches_the_provider_as_its_description_allows_and_the_guest_hears_its_id() {
    let rig = SmsRig::start("resend").await;
    let words = "Grüße & co = 1+1;\nzweite Zeile 🎟";
    let sent = result(&rig.host, json!({"do": "sms", "to": ANNA, "text": words})).await;
    let [only] = rig.twilio.texts().try_into().unwrap();
    assert_eq!(sent, json!({"id": only.sid, "status": "queued"}));
    let Text { to, from, body, .. } = only;
    assert_eq!((to.as_str(), from.as_str(), body.as_str()), (ANNA, FROM, words));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_messaging_service_picks_the_sender() {
    let (twilio, db) = (Twilio::start().await, Db::new().await);
    let mut options = sms_options(&twilio.base, "resend");
    options.config =
        options.config.replacen(&format!("from = \"{FROM}\""), &format!("messaging_service = \"{SERVICE}\""), 1);
    let host = Host::start(&db, None, options).await;
    result(&host, text(ANNA)).await;
    assert_eq!(twilio.texts()[0].from, SERVICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn send_sms_fills_a_template_once_an_hour_and_number() {
    let rig = SmsRig::start("resend").await;
    let client = rig.host.client();
    let code = |code: &str| json!({"to": ANNA, "template": "verification-code", "data": {"code": code}});
    let first = client.submit("send-sms", code("123456")).await;
    client.wait(&first, "completed").await;
    let again = client.post(json!({"type": "send-sms", "payload": code("654321")}).to_string()).await;
    let is_same_hour = rig.db.count("SELECT count(*) FROM idempotency_keys").await == 1;
    if is_same_hour {
        assert_eq!(again.body["id"], first.as_str(), "{}", again.body);
    }
    let custom = client.submit("send-sms", json!({"to": ANNA, "message": "Doors open at 19:00."})).await;
    client.wait(&custom, "completed").await;
    let bodies: Vec<_> = rig.twilio.texts().into_iter().map(|text| text.body).collect();
    assert_eq!(bodies[0], "123456 is your verification code. It is good for 10 minutes. Give it to nobody.");
    assert_eq!(bodies.last().map(String::as_str), Some("Doors open at 19:00."));
    for payload in [
        json!({"to": "0151 12345678", "message": "Hi"}),
        json!({"to": ANNA}),
        json!({"to": ANNA, "template": "ticket-ready", "data": {"eventName": "Jazz"}}),
        json!({"to": ANNA, "template": "ticket-ready", "data": {"eventName": "Jazz", "url": "https://t.example/1"}, "message": "Hi"}),
    ] {
        let answer = client.post(json!({"type": "send-sms", "payload": payload}).to_string()).await;
        assert_eq!(answer.status.as_u16(), 422, "{payload}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_number_or_no_text_or_not_granted_never_leaves() {
    let rig = SmsRig::start("resend").await;
    let mut asked = Vec::new();
    for to in [
        "",
        "4915112345678",
        "+49151",
        "+1234567890123456",
        "+0151123456",
        "+49151a2345678",
        "+4915112345678\n",
        "+4915112345678\r\nFrom: x",
        "+49 151 12345678",
        "+4915112345678,+4915112345679",
        "whatsapp:+4915112345678",
    ] {
        asked.push((json!({"do": "sms", "to": to, "text": "Hi", "catch": true}), "invalid", "to: "));
    }
    // (A payload has no NUL.)
    for words in ["".to_owned(), "x".repeat(1_601), "\u{1b}[2J".to_owned()] {
        asked.push((json!({"do": "sms", "to": ANNA, "text": words, "catch": true}), "invalid", "text: "));
    }
    for profile in ["other", "ghost", ""] {
        asked.push((
            json!({"do": "sms", "to": ANNA, "text": "Hi", "profile": profile, "catch": true}),
            "denied",
            "grants.sms does not name the profile",
        ));
    }
    for (payload, kind, why) in asked {
        let got = result(&rig.host, payload.clone()).await;
        assert_eq!(got["error"], kind, "{payload}: {got}");
        assert!(got["message"].as_str().unwrap().starts_with(why), "{payload}: {got}");
    }
    assert_eq!(rig.proxy.seen().len(), 0, "nothing left");
    result(&rig.host, json!({"do": "sms", "to": ANNA, "text": "ü".repeat(1_600)})).await;
    assert_eq!(rig.twilio.texts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_guests_to_read_and_names_nobody() {
    let rig = SmsRig::start("resend").await;
    let mut asked = text(UNSUBSCRIBED);
    asked["catch"] = json!(true);
    let got = result(&rig.host, asked.clone()).await;
    assert_eq!(
        (&got["error"], &got["code"], &got["status"]),
        (&json!("rejected"), &json!("21610"), &json!(400)),
        "{got}"
    );
    assert!(got["message"].as_str().unwrap().contains("unsubscribed recipient +15…99"), "{got}");
    for (status, code) in [(400, 21_211), (403, 21_408), (404, 21_703)] {
        rig.proxy.on(SEND, 1, Fault::Answer(reply(status, &twilio::error(status, code, "No."))));
        let got = result(&rig.host, asked.clone()).await;
        assert_eq!((&got["error"], &got["code"]), (&json!("rejected"), &json!(code.to_string())), "{got}");
    }
    assert_eq!(rig.twilio.texts().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_has_to_mend_is_waited_for_and_burns_no_attempt() {
    let rig = SmsRig::start("park").await;
    for (status, body) in [
        (401, twilio::error(401, 20_003, "Authenticate")),
        (403, twilio::error(403, 20_005, "Account is not active")),
        (404, twilio::error(404, 20_404, "The requested resource was not found")),
        (404, Value::Null),
    ] {
        rig.proxy.on(SEND, 1, Fault::Answer(reply(status, &body)));
        let client = rig.host.client();
        let id = client.submit("guest-message", text(ANNA)).await;
        client.wait_error(&id, "effect-snooze").await;
        let job = client.wait(&id, "completed").await;
        assert_eq!(job["attempt"], 1, "{status}: {job}");
    }
    assert_eq!(rig.twilio.texts().len(), 4, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_now_is_tried_again_after_the_time_that_was_said() {
    let rig = SmsRig::start("park").await;
    let client = rig.host.client();
    for (status, code) in [(429, 20_429), (503, 20_503)] {
        rig.proxy.on(SEND, 1, Fault::Answer(later(status, &twilio::error(status, code, "Later."), 2)));
        let began = Instant::now();
        let id = client.submit("guest-message", text(ANNA)).await;
        let job = client.wait(&id, "completed").await;
        assert_eq!(job["attempt"], 2, "{status}: {job}");
        assert!(began.elapsed() >= Duration::from_secs(2), "{status}: {:?}", began.elapsed());
    }
    assert_eq!(rig.twilio.texts().len(), 2, "each once");
}

/// What leaves open whether the message went out: the fault, and whether the provider heard of it.
fn doubts() -> Vec<(&'static str, Fault, bool)> {
    let page = Reply { status: 503, headers: Vec::new(), body: b"<html>".to_vec() };
    vec![
        ("cut", Fault::CutAfter, true),
        ("slow", Fault::Delay(Duration::from_secs(7)), true),
        ("500", Fault::Answer(reply(500, &twilio::error(500, 20_500, "An internal error"))), false),
        ("408", Fault::Answer(reply(408, &Value::Null)), false),
        ("a gateway's 503", Fault::Answer(page), false),
        ("a proxy's 400", Fault::Answer(reply(400, &Value::Null)), false),
        ("200 without a message", Fault::Answer(reply(200, &json!({"ok": true}))), false),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_in_doubt_is_sent_again_where_the_profile_says_resend() {
    let rig = SmsRig::start("resend").await;
    for (what, fault, heard) in doubts() {
        let before = rig.twilio.texts().len();
        rig.proxy.on(SEND, 1, fault);
        let client = rig.host.client();
        let id = client.submit("guest-message", text(ANNA)).await;
        client.wait(&id, "completed").await;
        rig.proxy.wait_quiet().await;
        let now = rig.twilio.texts().len() - before;
        assert_eq!(now, 1 + usize::from(heard), "{what}: at least once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_in_doubt_is_left_to_a_person_where_the_profile_says_park() {
    let rig = SmsRig::start("park").await;
    let client = rig.host.client();
    for (what, fault, heard) in doubts() {
        let before = rig.twilio.texts().len();
        rig.proxy.on(SEND, 1, fault);
        let id = client.submit("guest-message", text(ANNA)).await;
        let job = client.wait(&id, "dead").await;
        assert_eq!(job["reason"], "unknown-outcome", "{what}: {job}");
        rig.proxy.wait_quiet().await;
        assert_eq!(rig.twilio.texts().len() - before, usize::from(heard), "{what}: at most once");
    }
    let open = "SELECT job_id::text FROM effects WHERE state = 'doubt' ORDER BY started_at LIMIT 1";
    let job = rig.db.text(open).await.unwrap();
    let resolve = async |answer: Value| {
        let body = json!({"outcome": "happened", "answer": answer, "evidence": "seen in the provider's log"});
        rig.host.admin().send(Method::POST, &format!("/effects/{job}/0/resolve"), Some(body)).await
    };
    let wrong = resolve(json!({"sid": "SM1"})).await;
    assert!(wrong.status.is_client_error() && wrong.body.to_string().contains("/answer"), "{}", wrong.body);
    let right = resolve(json!({"id": "SM1", "status": "sent"})).await;
    assert!(right.status.is_success(), "{}", right.body);
    assert_eq!(client.wait(&job, "completed").await["result"], json!({"id": "SM1", "status": "sent"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_no_doubt() {
    let db = Db::new().await;
    let host = Host::start(&db, None, sms_options("http://127.0.0.1:1", "park")).await;
    let client = host.client();
    let id = client.submit("guest-message", text(ANNA)).await;
    client.wait_error(&id, "effect-snooze").await;
    assert_eq!(db.count("SELECT count(*) FROM effects WHERE state = 'doubt' OR doubted").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_the_profiles_grant_is_not_published() {
    let (twilio, db) = (Twilio::start().await, Db::new().await);
    let policy = Some("[plugins.policy.sms]\nsms = [\"other\"]\n".to_owned());
    let options = HostOptions { plugins: vec!["guest.wasm", "sms.wasm"], policy, ..sms_options(&twilio.base, "park") };
    let host = Host::start(&db, None, options).await;
    eventually("the refusal is told", async || host.log().contains("plugins.policy.sms.sms").then_some(())).await;
    let answer = host.client().post(r#"{"type":"send-sms","payload":{"to":"+4915112345678","message":"Hi"}}"#).await;
    assert!(answer.status.is_client_error(), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_keep_to_the_rate_of_their_profile() {
    let rig =
        SmsRig::start_with("park", "[rate_limits]\n\"provider/sms/default\" = { rate = \"2/s\", burst = 1 }\n").await;
    let (client, began) = (rig.host.client(), Instant::now());
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(client.submit("guest-message", text(ANNA)).await);
    }
    for id in ids {
        assert_eq!(client.wait(&id, "completed").await["attempt"], 1, "a limit burns no attempt");
    }
    assert!(began.elapsed() >= Duration::from_millis(1_900), "{:?}", began.elapsed());
    assert_eq!(rig.twilio.texts().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_all_texts() {
    let rig = SmsRig::start("park").await;
    let (admin, client) = (rig.host.admin(), rig.host.client());
    let set = async |verb: &str| admin.send(Method::POST, &format!("/providers/sms/{verb}"), None).await;
    assert!(set("pause").await.status.is_success());
    let id = client.submit("guest-message", text(ANNA)).await;
    client.wait_error(&id, "effect-snooze").await;
    assert_eq!(rig.proxy.seen().len(), 0);
    assert!(set("resume").await.status.is_success());
    client.wait(&id, "completed").await;
    assert_eq!(rig.twilio.texts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_whose_provider_is_away_is_left_alone_for_texts_too() {
    let (twilio, db) = (Twilio::start().await, Db::new().await);
    let proxy = FaultProxy::start(&twilio.base).await;
    let mut options = sms_options(&proxy.base, "resend");
    options.config =
        options.config.replacen("breaker = { failures = 0 }", "breaker = { failures = 1, open_for = \"2s\" }", 1);
    let host = Host::start(&db, None, options).await;
    proxy.on(SEND, 1, Fault::CutBefore);
    let client = host.client();
    let first = client.submit("guest-message", text(ANNA)).await;
    eventually("the breaker opens", async || host.log().contains("the circuit breaker has opened").then_some(())).await;
    let second = client.submit("guest-message", text(ANNA)).await;
    let error = client.wait_error(&second, "effect-snooze").await;
    assert!(error["message"].as_str().unwrap().contains("left alone"), "{error}");
    client.wait(&first, "completed").await;
    client.wait(&second, "completed").await;
    assert_eq!(twilio.texts().len(), 2);
}
