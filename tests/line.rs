//! The main line of a job, from HTTP to the mail and the stored result.

use serde_json::json;

use crate::support::{Db, Host, HostOptions, Sink, message_id};

fn payment() -> serde_json::Value {
    json!({
        "venueId": "v1", "userId": "u1", "eventId": "e1", "amount": 5000, "currency": "EUR", "email": "anna@example.com",
        "items": [{"name": "Seat", "quantity": 2, "unitAmount": 2500}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_taken_and_its_mail_arrives() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let plugins = vec!["payments.wasm", "notifications.wasm"];
    let host = Host::start(&db, Some(&sink), HostOptions { plugins, ..HostOptions::default() }).await;
    let client = host.client();

    let id = client.submit("payment-process", payment()).await;
    let job = client.wait(&id, "completed").await;
    assert_eq!(job["result"]["charged"], false, "nothing pretends to charge");
    assert_eq!(job["tier"], 1);
    assert_eq!(job["idempotencyKey"], "payment-v1-u1-e1-5000");
    assert!(job["release"].as_str().unwrap().starts_with("sha256:"));

    // The mail is a job of its own, committed with the payment's success.
    let child = job["result"]["emailJob"].as_str().unwrap();
    let mail_job = client.wait(child, "completed").await;
    assert_eq!(mail_job["parent"], json!(id));
    let mails = sink.wait_mails(1).await;
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(mail["tls"], true);
    assert_eq!(mail["to"], json!(["anna@example.com"]));
    assert!(mail["body"].as_str().unwrap().contains("not"), "{mail}");
    assert_eq!(mail_job["result"]["messageId"], message_id(mail));

    // The archived row holds the journal, with the address masked.
    let journal = db.text(&format!("SELECT journal::text FROM jobs_archive WHERE id = '{child}'")).await.unwrap();
    assert!(journal.contains("\"email\"") && journal.contains("a***@example.com"), "{journal}");
    assert!(!journal.contains("anna@example.com"), "{journal}");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM effects").await, 0);
}
