//! The main line of a job, from HTTP to the charge, the mail and the stored result.

use serde_json::json;

use crate::{
    stripe,
    support::{Db, Host, HostOptions, Sink, StripeWorld, message_id},
};

fn payment(card: &str) -> serde_json::Value {
    json!({
        "venueId": "v1", "userId": "u1", "eventId": "e1", "eventName": "Night of Jazz", "amount": 5000, "currency": "EUR",
        "paymentMethod": card, "name": "Anna", "email": "anna@example.com",
        "items": [{"name": "Seat", "quantity": 2, "unitAmount": 2500}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_charged_and_its_mail_arrives() {
    let (db, sink, world) = (Db::new().await, Sink::start().await, StripeWorld::start().await);
    let plugins = vec!["payments.wasm", "notifications.wasm"];
    let options = HostOptions { plugins, ..stripe::options(world.base_url()) };
    let host = Host::start(&db, Some(&sink), options).await;
    let client = host.client();

    let card = world.stripe.payment_method("tok_visa").await;
    let id = client.submit("payment-process", payment(&card)).await;
    let job = client.wait(&id, "completed").await;
    assert_eq!(job["tier"], 1);
    assert_eq!(job["idempotencyKey"], "payment-v1-u1-e1-5000");
    assert!(job["release"].as_str().unwrap().starts_with("sha256:"));

    // The money is at Stripe, and in the ledger.
    let intents = world.stripe.list("/v1/payment_intents").await;
    assert_eq!(intents.len(), 1);
    assert_eq!((&intents[0]["id"], &intents[0]["status"]), (&job["result"]["paymentIntent"], &json!("succeeded")));
    assert_eq!((&intents[0]["amount_received"], &intents[0]["metadata"]["job"]), (&json!(5000), &json!(id)));
    assert_eq!(db.count("SELECT amount FROM ledger WHERE kind = 'payment' AND currency = 'eur'").await, 5000);

    // The mail is a job of its own, committed with the payment's success.
    let child = job["result"]["emailJob"].as_str().unwrap();
    let mail_job = client.wait(child, "completed").await;
    assert_eq!(mail_job["parent"], json!(id));
    let mails = sink.wait_mails(1).await;
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(mail["tls"], true);
    assert_eq!(mail["to"], json!(["anna@example.com"]));
    assert_eq!(mail["headers"]["Subject"], "Your payment of 50.00 EUR for Night of Jazz");
    assert!(mail["body"].as_str().unwrap().contains(&id), "{mail}");
    assert_eq!(mail_job["result"]["messageId"], message_id(mail));

    // The archived row holds the journal, with the address masked.
    let journal = db.text(&format!("SELECT journal::text FROM jobs_archive WHERE id = '{child}'")).await.unwrap();
    assert!(journal.contains("\"email\"") && journal.contains("a***@example.com"), "{journal}");
    assert!(!journal.contains("anna@example.com"), "{journal}");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM effects").await, 0);
}
