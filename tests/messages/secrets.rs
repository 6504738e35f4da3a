//! What the journal, the log, the database and the guests are told: no credential, no text, and no whole number or token.

use std::process::Command;

use serde_json::json;

use super::{PushRig, SmsRig, notification, reply, result, text};
use crate::support::{
    Fault, fcm, twilio,
    twilio::{AUTH_TOKEN, UNSUBSCRIBED},
};

const ANNA: &str = "+4915112345678";
const TOKEN: &str = "fGh3k2mQR0:APA91bH-token-of-annas-telephone_0123456789";

fn dump(url: &str) -> String {
    let dump = Command::new("pg_dump").arg(url).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    String::from_utf8_lossy(&dump.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_shows_a_number_in_part_and_never_the_text() {
    let rig = SmsRig::start("park").await;
    let client = rig.host.client();
    let open = client.submit("guest-message", text(ANNA)).await;
    client.wait(&open, "completed").await;
    let journal = rig.db.text("SELECT journal::text FROM jobs_archive").await.unwrap();
    assert!(journal.contains("+49…78") && !journal.contains("4711") && !journal.contains(ANNA), "{journal}");
    let refused = client.submit("guest-message", text(UNSUBSCRIBED)).await;
    let dead = client.wait(&refused, "dead").await;
    assert!(dead["errors"].to_string().contains("+15…99"), "{dead}");
    // What an admin sees of one in doubt.
    rig.proxy.on("POST /", 1, Fault::CutAfter);
    let doubt = client.submit("guest-message", text(ANNA)).await;
    client.wait(&doubt, "dead").await;
    let open = rig.host.admin().get("/effects?state=doubt").await.body.to_string();
    assert!(open.contains("+49…78") && !open.contains("4711"), "{open}");
    let log = rig.host.log();
    for secret in [ANNA, UNSUBSCRIBED, "4711"] {
        for (place, what) in [("effects", &open), ("errors", &dead["errors"].to_string()), ("log", &log)] {
            assert!(!what.contains(secret), "{secret} in {place}: {what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_shows_a_device_in_part_and_never_the_words() {
    let rig = PushRig::start("park").await;
    let client = rig.host.client();
    let id = client.submit("guest-message", notification(TOKEN)).await;
    client.wait(&id, "completed").await;
    let journal = rig.db.text("SELECT journal::text FROM jobs_archive").await.unwrap();
    assert!(journal.contains("fGh3k2…") && !journal.contains(TOKEN) && !journal.contains("Come in."), "{journal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_shows_in_logs_database_answers_or_config() {
    let (sms, push) = (SmsRig::start("resend").await, PushRig::start("resend").await);
    let client = sms.host.client();
    // A provider that says our credential back, in an error and in an answer.
    let echo = twilio::error(400, 21_211, &format!("You sent {AUTH_TOKEN}."));
    sms.proxy.on("POST /", 1, Fault::Answer(reply(400, &echo)));
    let refused = client.submit("guest-message", text(ANNA)).await;
    let mut bodies = vec![client.wait(&refused, "dead").await];
    sms.proxy.on("POST /", 1, Fault::Answer(reply(201, &json!({"sid": AUTH_TOKEN, "status": "queued"}))));
    bodies.push(result(&sms.host, text(ANNA)).await);

    bodies.push(result(&push.host, notification(TOKEN)).await);
    let bearer = push.fcm.bearers().remove(0);
    let echo = fcm::error(400, "INVALID_ARGUMENT", None, &format!("You sent {bearer}."));
    push.proxy.on("POST /", 1, Fault::Answer(reply(400, &echo)));
    let refused = push.host.client().submit("guest-message", notification(TOKEN)).await;
    bodies.push(push.host.client().wait(&refused, "dead").await);

    let key = push.account["private_key"].as_str().unwrap();
    let inside = key.lines().nth(3).unwrap();
    let places = [
        ("the log", sms.host.log() + &push.host.log()),
        ("the database", dump(&sms.db.url) + &dump(&push.db.url)),
        ("answers", serde_json::to_string(&bodies).unwrap()),
    ];
    for (place, what) in places {
        for secret in [AUTH_TOKEN, bearer.as_str(), inside, "eyJ"] {
            assert!(!what.contains(secret), "{secret} in {place}");
        }
    }
}
