//! A mail to several: who is refused for good is told of, who is refused for now holds it up, and nobody gets it twice.

use serde_json::{Value, json};

use super::options;
use crate::support::{Db, Host, Sink, message_id};

fn mail(also: &[&str]) -> Value {
    json!({"do": "mail", "to": "Anna B <anna@example.com>", "also": also})
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_named_and_the_others_get_the_mail() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    sink.say_of("Berta@example.com", "550 5.1.1 <Berta@example.com>: no such user").await;
    sink.say_of("dora@example.com", "552 5.2.2 mailbox full").await;
    let id = host
        .client()
        .submit("guest-mail", mail(&["Berta@example.com", "caesar@example.com", "Dora <dora@example.com>"]))
        .await;
    let job = host.client().wait(&id, "completed").await;
    let mails = sink.mails().await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0]["to"], json!(["anna@example.com", "caesar@example.com"]));
    let result = &job["result"];
    assert_eq!((&result["messageId"], &job["attempt"]), (&json!(message_id(&mails[0])), &json!(1)));
    let refused = result["refused"].as_array().unwrap();
    let named: Vec<_> = refused.iter().map(|no| (&no["recipient"], &no["code"])).collect();
    // As the guest wrote them.
    assert_eq!(named, [(&json!("Berta@example.com"), &json!(550)), (&json!("Dora <dora@example.com>"), &json!(552))]);
    assert!(refused[0]["message"].as_str().unwrap().contains("<B***@example.com>: no such user"), "{refused:?}");

    // The journal knows them by their places.
    let journal = db.text("SELECT journal::text FROM jobs_archive").await.unwrap();
    assert!(journal.contains("\"recipient\": 1") || journal.contains("\"recipient\":1"), "{journal}");
    assert!(!journal.contains("Berta") && !journal.contains("dora@"), "{journal}");
    // The connection is as good as before.
    let greetings = sink.greetings().await;
    let id = host.client().submit("guest-mail", mail(&[])).await;
    host.client().wait(&id, "completed").await;
    assert_eq!(sink.greetings().await, greetings);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_refused_the_guest_is_told_no() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    sink.say_of("anna@example.com", "550 5.1.1 <anna@example.com>: no such user").await;
    sink.say_of("berta@example.com", "553 5.1.3 bad name").await;
    let mut caught = mail(&["berta@example.com"]);
    caught["catch"] = json!(true);
    let id = host.client().submit("guest-mail", caught).await;
    let job = host.client().wait(&id, "completed").await;
    let told = job["result"].to_string();
    assert!(told.contains("\"550\"") && told.contains("a***@example.com") && !told.contains("anna@"), "{job}");
    assert_eq!(sink.mails().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_now_holds_the_mail_up_and_nobody_gets_it_twice() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    sink.say_of("berta@example.com", "450 4.2.1 mailbox busy").await;
    for _ in 0..2 {
        sink.say_of("caesar@example.com", "550 5.1.1 no such user").await;
    }
    let id = host.client().submit("guest-mail", mail(&["caesar@example.com", "berta@example.com"])).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["attempt"], 2, "{job}");
    let mails = sink.mails().await;
    assert_eq!(mails.len(), 1, "none before the second try");
    assert_eq!(mails[0]["to"], json!(["anna@example.com", "berta@example.com"]));
    assert_eq!(job["result"]["refused"][0]["recipient"], "caesar@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_host_journaled_is_answered_as_ever() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    // A job that waits for its second attempt, with a mail of the first one in its journal.
    let steps = json!({"do": "steps", "steps": [mail(&[]), {"do": "retry-after", "delayMs": 3_600_000, "until": 2}]});
    let id = host.client().submit("guest-mail", steps).await;
    host.client().wait_error(&id, "guest-retry").await;
    let sent = sink.mails().await;
    let old = format!(
        "UPDATE effects SET answer = jsonb_build_object('kind', 'ok', 'value', '{}'::text)",
        message_id(&sent[0])
    );
    assert_eq!(db.execute(&old).await, 1);
    db.execute("UPDATE jobs SET run_at = now() WHERE state = 'scheduled'").await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["result"][0], json!({"messageId": message_id(&sent[0]), "refused": []}), "{job}");
    assert_eq!(sink.mails().await.len(), 1);
}
