//! Mail through a real SMTP server: the product's templates, attachments, refusals, signatures, and a server that is away.

mod attachments;
mod codes;
mod dangers;
pub mod dkim;
mod headers;
mod recipients;

use serde_json::{Value, json};

use crate::support::{Db, Host, HostOptions, Sink, eventually};

pub fn options() -> HostOptions {
    HostOptions { plugins: vec!["notifications.wasm", "guest-effects.wasm"], ..HostOptions::default() }
}

fn templates() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "payment-confirmation",
            json!({"name": "Anna", "eventName": "Jazz", "orderId": "o-1", "currency": "EUR", "total": 5000,
                   "items": [{"name": "Seat", "quantity": 2, "unitAmount": 2500}]}),
            "50.00 EUR",
        ),
        ("refund-confirmation", json!({"name": "Anna", "amount": 500, "currency": "JPY", "orderId": "o-1"}), "500 JPY"),
        (
            "nft-ticket-minted",
            json!({"name": "Anna", "eventName": "Jazz", "seat": "7", "mint": "Mint111", "signature": "Sig111"}),
            "Mint111",
        ),
        ("admin-alert", json!({"severity": "high", "title": "Disk", "message": "almost full"}), "almost full"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_four_templates_arrive_as_text_and_html() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    for (n, (template, data, said)) in templates().into_iter().enumerate() {
        let id = host
            .client()
            .submit("send-email", json!({"to": "anna@example.com", "template": template, "data": data}))
            .await;
        host.client().wait(&id, "completed").await;
        let mails = sink.wait_mails(n + 1).await;
        let body = mails[n]["body"].as_str().unwrap();
        assert!(body.contains(said) && body.contains("text/html") && body.contains("text/plain"), "{template}: {body}");
        assert_eq!(mails[n]["from"], "tickets@example.com");
    }
    let missing = json!({"to": "berta@example.com", "template": "refund-confirmation", "data": {"name": "Anna"}});
    let id = host.client().submit("send-email", missing).await;
    let job = host.client().wait(&id, "dead").await;
    assert_eq!(job["reason"], "permanent");
    assert!(job["errors"][0]["message"].as_str().unwrap().contains("amount"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_now_is_tried_again_and_no_is_no() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    sink.faults(&["451 4.3.0 try later"]).await;
    let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "a@example.com"})).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["attempt"], 2, "a transient failure burns an attempt");
    assert_eq!(job["errors"][0]["kind"], "effect-retry");
    assert!(job["errors"][0]["message"].as_str().unwrap().contains("451"), "{job}");

    sink.faults(&["550 5.1.1 no such user"]).await;
    let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "b@example.com"})).await;
    let job = host.client().wait(&id, "dead").await;
    assert_eq!((&job["reason"], &job["attempt"]), (&json!("permanent"), &json!(1)));
    assert!(job["errors"][0]["message"].as_str().unwrap().contains("550"), "{job}");
    assert_eq!(sink.mails().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_say_goodbye_has_said_no_all_the_same() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), HostOptions { mail_timeout: "2s", ..options() }).await;
    sink.say("rcpt", "550 5.1.1 no such user").await;
    sink.say("quit", "hold").await;
    let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "a@example.com"})).await;
    let job = host.client().wait(&id, "dead").await;
    assert_eq!((&job["reason"], &job["attempt"]), (&json!("permanent"), &json!(1)), "{job}");
    assert!(job["errors"][0]["message"].as_str().unwrap().contains("550"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_repeated_or_parked_as_the_profile_says() {
    for (on_doubt, state, mails) in [("resend", "completed", 2), ("park", "dead", 1)] {
        let (db, sink) = (Db::new().await, Sink::start().await);
        let host = Host::start(&db, Some(&sink), HostOptions { on_doubt, ..options() }).await;
        sink.faults(&["drop"]).await;
        let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "a@example.com"})).await;
        host.client().wait(&id, state).await;
        assert_eq!(sink.mails().await.len(), mails, "{on_doubt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_kills_no_mail_and_burns_no_attempt() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    sink.stop().await;
    // The host starts without its mail server, and says so.
    let host = Host::start(&db, Some(&sink), options()).await;
    eventually("readiness says degraded", async || {
        let ready = host.client().get("/health/ready").await;
        (ready.status == 200 && ready.body["parts"]["email.default"]["status"] == "degraded").then_some(())
    })
    .await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(host.client().submit("guest-mail", json!({"do": "mail", "to": format!("u{n}@example.com")})).await);
    }
    for id in &ids {
        let error = eventually("several postponements", async || {
            let job = host.client().job(id).await;
            (job["errors"][0]["times"].as_u64() >= Some(3)).then(|| job.clone())
        })
        .await;
        assert_eq!(error["attempt"], 0, "an outage burns no attempt: {error}");
        assert_eq!(error["errors"][0]["kind"], "effect-snooze");
        assert_eq!(error["errors"].as_array().unwrap().len(), 1, "one entry that counts");
    }
    sink.start_again().await;
    for id in &ids {
        host.client().wait(id, "completed").await;
    }
    assert_eq!(sink.mails().await.len(), 10, "each once");
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE state = 'dead'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_and_used_again() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    for n in 0..10 {
        let id = host.client().submit("guest-mail", json!({"do": "mail", "to": format!("u{n}@example.com")})).await;
        host.client().wait(&id, "completed").await;
    }
    let greetings = sink.greetings().await;
    assert!(greetings <= 8, "{greetings} EHLOs for 10 mails and a probe");
    assert_eq!(sink.mails().await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn implicit_tls_is_spoken_from_the_first_byte() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), HostOptions { implicit_tls: true, ..options() }).await;
    let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "a@example.com"})).await;
    host.client().wait(&id, "completed").await;
    assert_eq!(sink.mails().await.len(), 1);
}
