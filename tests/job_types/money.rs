//! Payments, refunds and payouts: what is at Stripe in the end, what is told, and what is mailed.

use serde_json::{Value, json};

use super::Rig;
use crate::{
    support::{Client, product::CONNECTED, token},
    webhooks,
};

async fn mails_to(rig: &Rig, address: &str) -> Vec<Value> {
    rig.product.sink.mails().await.into_iter().filter(|mail| mail["to"] == json!([address])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orders_of_a_buyer_in_a_day_are_charged_told_and_confirmed_each() {
    let rig = Rig::start().await;
    webhooks::endpoint(&rig.host, &rig.product.receiver, &["payment.completed"]).await;
    let client = rig.host.client();
    for n in [1, 2] {
        let job = rig.run("payment-process", rig.product.payment("tok_visa", n).await, "completed").await;
        let result = &job["result"];
        assert_eq!((&result["status"], &result["amount"]), (&json!("succeeded"), &json!(5000)), "{job}");
        let mail = client.wait(result["emailJob"].as_str().unwrap(), "completed").await;
        let id = job["id"].as_str().unwrap();
        assert_eq!(mail["idempotencyKey"], format!("payment-confirmation-{id}"));
    }
    let told = rig.wait_told("payment.completed", 2).await;
    assert_eq!(rig.product.world.stripe.list("/v1/payment_intents").await.len(), 2);
    for event in &told {
        assert_eq!((&event["amount"], &event["currency"]), (&json!(5000), &json!("EUR")), "{event}");
        let paid = rig.product.world.stripe.get(&format!("/v1/payment_intents/{}", text(event, "paymentIntent"))).await;
        assert_eq!((&paid.body["status"], &paid.body["metadata"]["job"]), (&json!("succeeded"), &event["jobId"]));
    }
    let mails = mails_to(&rig, "anna@example.com").await;
    assert_eq!(mails.len(), 2, "the key of the day would have sent one");
    assert_eq!(mails[0]["headers"]["Subject"], "Your payment of 50.00 EUR for Night of Jazz");
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field}: {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_the_buyer_must_act_on_is_told_as_that_and_called_paid_by_nobody() {
    let rig = Rig::start().await;
    webhooks::endpoint(&rig.host, &rig.product.receiver, &[]).await;
    let order = rig.product.payment("tok_threeDSecure2Required", 1).await;
    let job = rig.run("payment-process", order, "completed").await;
    assert_eq!(job["result"]["status"], "requires_action", "{job}");
    assert_eq!(job["result"]["emailJob"], Value::Null);
    let told = rig.wait_told("payment.requires_action", 1).await;
    assert_eq!(told[0]["paymentIntent"], job["result"]["paymentIntent"]);
    // What opens the payment to whoever has it stays at Stripe.
    let archived = rig.db.text("SELECT to_jsonb(a)::text FROM jobs_archive a").await.unwrap();
    assert!(!archived.contains("_secret_"), "{archived}");
    assert_eq!(rig.product.receiver.received().len(), 1);
    assert_eq!(mails_to(&rig, "anna@example.com").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_gives_back_a_part_and_then_the_rest() {
    let rig = Rig::start().await;
    webhooks::endpoint(&rig.host, &rig.product.receiver, &["refund.completed"]).await;
    let client = rig.host.client();
    let part = rig.product.payload("refund-process", 1).await;
    let job = rig.run("refund-process", part.clone(), "completed").await;
    assert_eq!((&job["result"]["amount"], &job["result"]["currency"]), (&json!(1000), &json!("EUR")), "{job}");
    client.wait(text(&job["result"], "emailJob"), "completed").await;
    assert_eq!(mails_to(&rig, "anna@example.com").await[0]["headers"]["Subject"], "Your refund of 10.00 EUR");

    // The key of the payment holds for a day, whatever else is asked.
    let rest = json!({"venueId": "v1", "transactionId": part["transactionId"]});
    let same = client.submit("refund-process", rest.clone()).await;
    assert_eq!(json!(same), job["id"]);
    rig.db.execute("UPDATE jobs_archive SET key_ttl_ms = 1 WHERE job_type = 'refund-process'").await;
    let job = rig.run("refund-process", rest, "completed").await;
    assert_eq!(job["result"]["amount"], 4000, "what was left: {job}");
    assert_eq!(rig.wait_told("refund.completed", 2).await.len(), 2);
    assert_eq!(rig.product.world.stripe.list("/v1/refunds").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_or_a_connected_account_is_paid_and_no_other_account_is() {
    let rig = Rig::start().await;
    webhooks::endpoint(&rig.host, &rig.product.receiver, &[]).await;
    let own = rig.run("payout-process", rig.product.payload("payout-process", 1).await, "completed").await;
    let payouts = rig.product.world.stripe.list("/v1/payouts").await;
    assert_eq!((&payouts[0]["id"], &payouts[0]["amount"]), (&own["result"]["id"], &json!(700)), "{own}");
    assert_eq!(rig.wait_told("payout.created", 1).await[0]["kind"], "payout");

    // Tenant t2's profile reaches one connected account, at the stand-in that plays them.
    let other: Client = rig.host.client().with_token(token("user", Some("t2")));
    let run = async |more: Value, state: &str| {
        let mut payload = json!({"venueId": "v2", "amount": 300, "currency": "EUR"});
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        other.wait(&other.submit("payout-process", payload).await, state).await
    };
    let connected = run(json!({"payoutId": "p-1", "account": CONNECTED}), "completed").await;
    assert_eq!(connected["result"]["kind"], "payout", "{connected}");
    assert_eq!(rig.product.connect.all("payouts", CONNECTED).len(), 1);
    let transfer = run(json!({"payoutId": "p-2", "transferTo": CONNECTED}), "completed").await;
    assert_eq!((&transfer["result"]["kind"], &transfer["result"]["status"]), (&json!("transfer"), &json!("created")));
    let made = rig.product.connect.all("transfers", "");
    assert_eq!((&made[0]["id"], &made[0]["destination"]), (&transfer["result"]["id"], &json!(CONNECTED)));
    let denied = run(json!({"payoutId": "p-3", "transferTo": "acct_stranger"}), "dead").await;
    assert_eq!(denied["reason"], "permanent", "{denied}");
    assert_eq!(rig.product.connect.all("transfers", "").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_add_up_or_has_no_account_reaches_nobody() {
    let rig = Rig::start().await;
    let mut order = rig.product.payment("tok_visa", 1).await;
    order["amount"] = 4999.into();
    let job = rig.run("payment-process", order.clone(), "dead").await;
    assert!(text(&job["errors"][0], "message").contains("add up to 5000"), "{job}");
    order["amount"] = 5000.into();
    let stranger: Client = rig.host.client().with_token(token("user", Some("t3")));
    let job = stranger.wait(&stranger.submit("payment-process", order).await, "dead").await;
    assert!(text(&job["errors"][0], "message").contains("no Stripe profile"), "{job}");
    assert_eq!(rig.product.world.stripe.list("/v1/payment_intents").await.len(), 0);
}
