//! A decline, and what comes after it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Rig, payment};
use crate::support::{Fault, Reply, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_is_a_refusal_and_a_retry_after_the_card_was_changed_charges_once() {
    let rig = Rig::start().await;
    // The card is the customer's default, so that it can change while the payload stays.
    let bad = rig.card("tok_visa_chargeDeclinedInsufficientFunds").await;
    let body = json!({"type": "guest-money", "payload": payment(&bad)}).to_string();
    let client = rig.host.client();
    let first = client.post_with(body.clone(), &[("idempotency-key", "order-1")]).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let job = first.body["id"].as_str().unwrap().to_owned();
    let dead = client.wait(&job, "dead").await;
    assert_eq!(dead["reason"], "permanent", "{dead}");
    let error = dead["errors"][0]["message"].as_str().unwrap();
    assert!(error.contains("insufficient_funds"), "{error}");
    assert_eq!(rig.db.count("SELECT count(*) FROM ledger").await, 0);

    // A customer's new submit under the same key is taken: nothing happened under it.
    let good = rig.card("tok_visa").await;
    let body = json!({"type": "guest-money", "payload": payment(&good)}).to_string();
    let second = client.post_with(body, &[("idempotency-key", "order-1")]).await;
    assert_eq!(second.status, StatusCode::ACCEPTED, "{}", second.body);
    client.wait(second.body["id"].as_str().unwrap(), "completed").await;
    let charged = rig.world.stripe.list("/v1/payment_intents").await;
    let succeeded = charged.iter().filter(|intent| intent["status"] == "succeeded").count();
    assert_eq!(succeeded, 1, "{charged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_payment_keeps_no_key_and_shuts_no_decline() {
    let rig = Rig::start().await;
    let (bad, good) = (rig.card("tok_visa_chargeDeclined").await, rig.card("tok_visa").await);
    let seen = rig.run(payment(&good)).await["id"].clone();
    let look = json!({"do": "stripe", "call": "get", "paymentIntent": seen});
    let order = |card: &str| {
        let steps = json!({"do": "steps", "steps": [look, payment(card)]});
        json!({"type": "guest-money", "payload": steps}).to_string()
    };
    let client = rig.host.client();
    let first = client.post_with(order(&bad), &[("idempotency-key", "order-2")]).await;
    let declined = first.body["id"].as_str().unwrap().to_owned();
    assert_eq!(client.wait(&declined, "dead").await["reason"], "permanent");
    let second = client.post_with(order(&good), &[("idempotency-key", "order-2")]).await;
    assert_eq!(second.status, StatusCode::ACCEPTED, "nothing happened under the key: {}", second.body);
    client.wait(second.body["id"].as_str().unwrap(), "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_is_not_asked_anew_where_another_job_has_done_its_work_since() {
    let rig = Rig::start().await;
    let (bad, good) = (rig.card("tok_visa_chargeDeclined").await, rig.card("tok_visa").await);
    let order = |card: &str| json!({"type": "guest-money", "payload": payment(card)}).to_string();
    let client = rig.host.client();
    let first = client.post_with(order(&bad), &[("idempotency-key", "order-3")]).await;
    let declined = first.body["id"].as_str().unwrap().to_owned();
    client.wait(&declined, "dead").await;
    let second = client.post_with(order(&good), &[("idempotency-key", "order-3")]).await;
    let paid = second.body["id"].as_str().unwrap().to_owned();
    client.wait(&paid, "completed").await;
    // The key's time is over, and then its row is gone, too.
    rig.db.execute("UPDATE jobs_archive SET key_ttl_ms = 0").await;
    for gone in ["SELECT 1", "DELETE FROM idempotency_keys"] {
        rig.db.execute(gone).await;
        let retry = rig.host.admin().send(Method::POST, &format!("/jobs/{declined}/retry"), None).await;
        assert_eq!(retry.status, StatusCode::CONFLICT, "{gone}: {}", retry.body);
        assert!(retry.body["type"].as_str().unwrap().ends_with("key-used"), "{}", retry.body);
    }
    let charged = rig.world.stripe.list("/v1/payment_intents").await;
    assert_eq!(charged.iter().filter(|intent| intent["status"] == "succeeded").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_retry_asks_anew_and_charges_once() {
    let rig = Rig::start().await;
    let good = rig.card("tok_visa").await;
    // A decline that is gone by the time of the retry, as when the bank or the customer has seen to it.
    let mut declined = Reply::error(402, "card_declined");
    declined.body = json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": "do_not_honor",
        "message": "Your card was declined."}})
    .to_string()
    .into_bytes();
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: declined, acted: false });
    let job = rig.submit(payment(&good)).await;
    let dead = rig.host.client().wait(&job, "dead").await;
    assert_eq!(dead["reason"], "permanent", "{dead}");
    let answer = rig.host.admin().send(Method::POST, &format!("/jobs/{job}/retry"), None).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let done = rig.host.client().wait(&job, "completed").await;
    assert_eq!(done["result"]["status"], "succeeded");
    assert_eq!(rig.count("payment_intents").await, 1);
    let keys: Vec<_> =
        rig.proxy.seen().iter().filter_map(|s| s.request.header("idempotency-key").map(str::to_owned)).collect();
    assert_ne!(keys[0], keys[1], "under the old key Stripe would repeat the old decline");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_new_beginning_has_a_key_of_its_own_and_what_was_voided_stays_so() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    let mut broken = Reply::error(500, "api_error");
    broken.headers.push(("idempotent-replayed".to_owned(), "true".to_owned()));
    let mut declined = Reply::error(402, "card_declined");
    declined.body =
        json!({"error": {"type": "card_error", "code": "card_declined", "message": "No."}}).to_string().into_bytes();
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: broken.clone(), acted: false });
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: declined, acted: false });
    let job = rig.submit(payment(&card)).await;
    rig.parked(&job).await;
    rig.resolve(&job, json!({"outcome": "resend", "evidence": "Stripe shows nothing"})).await;
    eventually("the card is declined", async || {
        (rig.host.client().job(&job).await["reason"] == "permanent").then_some(())
    })
    .await;
    let retry = rig.host.admin().send(Method::POST, &format!("/jobs/{job}/retry"), None).await;
    assert_eq!(retry.status, StatusCode::ACCEPTED, "{}", retry.body);
    rig.host.client().wait(&job, "completed").await;
    let seen = rig.proxy.seen();
    let mut keys: Vec<_> = seen.iter().filter_map(|seen| seen.request.header("idempotency-key")).collect();
    let sent = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((sent, keys.len()), (3, 3), "three beginnings, three keys");
    assert_eq!(rig.count("payment_intents").await, 1);

    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: broken, acted: false });
    let job = rig.submit(payment(&card)).await;
    rig.parked(&job).await;
    rig.resolve(&job, json!({"outcome": "void", "evidence": "withdrawn"})).await;
    eventually("it is dead", async || (rig.host.client().job(&job).await["reason"] == "permanent").then_some(())).await;
    rig.host.admin().send(Method::POST, &format!("/jobs/{job}/retry"), None).await;
    eventually("it is dead again", async || {
        let again = "SELECT count(*) FROM jobs_archive WHERE state = 'dead' AND redrives = 1 AND id = ";
        (rig.db.count(&format!("{again}'{job}'")).await == 1).then_some(())
    })
    .await;
    assert_eq!(rig.count("payment_intents").await, 1, "a retry does not charge what a person has voided");
}
