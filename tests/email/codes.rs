//! The table of docs/operators.md, "What a mail server's replies mean": a row each.

use serde_json::{Value, json};

use super::options;
use crate::support::{Client, Db, Host, HostOptions, Sink};

/// What a reply means for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Put off until the server is back; no attempt is burned.
    Outage,
    /// Tried again later; an attempt is burned.
    Transient,
    /// The guest is told, with the code.
    Rejected,
    /// Nobody knows whether it was taken.
    Doubt,
}

/// Before the message: said at, what is said, to everybody or once.
const BEFORE: [(&str, &str, Meaning); 25] = [
    ("greet", "421 4.3.2 closing", Meaning::Outage),
    ("greet", "554 5.3.2 no SMTP here", Meaning::Outage),
    ("greet", "cut", Meaning::Outage),
    ("ehlo", "451 4.3.0 later", Meaning::Outage),
    ("ehlo", "504 5.5.4 no such name", Meaning::Outage),
    ("starttls", "454 4.7.0 TLS not available", Meaning::Outage),
    ("auth", "454 4.7.0 temporary authentication failure", Meaning::Outage),
    ("auth", "535 5.7.8 credentials invalid", Meaning::Outage),
    ("mail", "421 4.4.2 closing", Meaning::Outage),
    ("mail", "451 4.3.0 later", Meaning::Transient),
    ("mail", "452 4.3.1 no room", Meaning::Transient),
    ("mail", "530 5.7.0 authentication required", Meaning::Rejected),
    ("mail", "550 5.7.1 this sender may not", Meaning::Rejected),
    ("mail", "cut", Meaning::Outage),
    ("rcpt", "421 4.7.0 too many, closing", Meaning::Outage),
    ("rcpt", "450 4.2.1 mailbox busy", Meaning::Transient),
    ("rcpt", "452 4.5.3 too many recipients", Meaning::Transient),
    ("rcpt", "550 5.1.1 no such user", Meaning::Rejected),
    ("rcpt", "552 5.2.2 mailbox full", Meaning::Rejected),
    ("rcpt", "cut", Meaning::Outage),
    ("data", "421 4.3.2 closing", Meaning::Outage),
    ("data", "451 4.3.0 later", Meaning::Transient),
    ("data", "554 5.5.1 no valid recipients", Meaning::Rejected),
    ("data", "cut", Meaning::Outage),
    // Out of step: it is the reply to something before.
    ("data", "250 2.0.0 OK", Meaning::Outage),
];

/// To the message.
const MESSAGE: [(&str, Meaning); 8] = [
    ("421 4.3.2 closing", Meaning::Outage),
    ("451 4.7.1 greylisted", Meaning::Transient),
    ("452 4.3.1 no room", Meaning::Transient),
    ("550 5.7.1 spam", Meaning::Rejected),
    ("552 5.3.4 too big", Meaning::Rejected),
    ("354 go on", Meaning::Doubt),
    ("drop", Meaning::Doubt),
    ("silence 5", Meaning::Doubt),
];

/// The first thing that happened to the job, as its errors or its end tell.
async fn met(client: &Client, id: &str, meaning: Meaning) -> Value {
    match meaning {
        Meaning::Outage => client.wait_error(id, "effect-snooze").await,
        Meaning::Transient => client.wait_error(id, "effect-retry").await,
        Meaning::Rejected | Meaning::Doubt => client.wait(id, "dead").await,
    }
}

fn check(job: &Value, said: &str, meaning: Meaning) {
    let (at, code) = (said, said.get(..3).unwrap());
    let errors = job["errors"].to_string();
    match meaning {
        Meaning::Outage => assert_eq!(job["attempt"], 1, "{at} burns no attempt: {job}"),
        Meaning::Transient => {
            assert_eq!(job["attempt"], 2, "{at} burns one: {job}");
            assert!(errors.contains(code), "{at}: {errors}");
        }
        Meaning::Rejected => {
            assert_eq!((&job["reason"], &job["attempt"]), (&json!("permanent"), &json!(1)), "{at}: {job}");
            assert!(errors.contains(code), "{at}: {errors}");
        }
        Meaning::Doubt => assert_eq!(job["reason"], "unknown-outcome", "{at}: {job}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reply_means_what_the_table_says() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    // No connection is kept, so that each mail begins with the greeting.
    let env = vec![("USHER_EMAIL__PROFILES__DEFAULT__POOL", "0".to_owned())];
    let host = Host::start(&db, Some(&sink), HostOptions { env, on_doubt: "park", ..options() }).await;
    let client = host.client();
    let mut sent = 0;
    for (n, (at, said, meaning)) in BEFORE.into_iter().enumerate() {
        sink.say_always(at, said).await;
        let id = client.submit("guest-mail", json!({"do": "mail", "to": format!("u{n}@example.com")})).await;
        met(&client, &id, meaning).await;
        assert_eq!(sink.mails().await.len(), sent, "{at} {said}: nothing was sent");
        sink.say_nothing_more().await;
        if meaning != Meaning::Rejected {
            client.wait(&id, "completed").await;
            sent += 1;
        }
        check(&client.job(&id).await, said, meaning);
        assert_eq!(sink.mails().await.len(), sent, "{at} {said}: once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reply_to_the_message_means_what_the_table_says() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), HostOptions { on_doubt: "park", ..options() }).await;
    let client = host.client();
    for (said, meaning) in MESSAGE {
        sink.faults(&[said]).await;
        let id = client.submit("guest-mail", json!({"do": "mail", "to": "anna@example.com"})).await;
        met(&client, &id, meaning).await;
        if matches!(meaning, Meaning::Outage | Meaning::Transient) {
            client.wait(&id, "completed").await;
        }
        check(&client.job(&id).await, said, meaning);
    }
    // Three were taken in the second try, two were taken and nobody was told.
    sink.wait_mails(5).await;
}
