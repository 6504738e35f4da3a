//! `payment-process`: charges an order at once, tells the shop's servers, and sends the buyer's confirmation.
//!
//! A card that is declined ends the job for good, with Stripe's code. A payment that the buyer has to act on (3-D Secure), or that
//! a bank takes its time over, is neither a failure nor paid: the job is completed with Stripe's own status, an event of that name
//! says so, and no mail calls it paid.

mod order;

use serde::Serialize;
use serde_json::{Value, json};
use usher_plugin::{
    Error, Failure, Job,
    jobs::NewJob,
    log,
    stripe::{Outcome, Payment},
    webhook,
};

use crate::order::Order;

/// The job's result.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    /// Stripe's word: `succeeded`, `requires_action` or `processing`.
    status: String,
    payment_intent: String,
    /// As Stripe counts it.
    amount: u64,
    currency: String,
    /// The job that sends the confirmation.
    email_job: Option<String>,
}

fn process(job: Job<Order>) -> Result<Receipt, Failure> {
    let order = &job.payload;
    order.check().map_err(Failure::permanent)?;

    let paid = charge(order, &job.id)?;
    let event = match paid.status.as_str() {
        "succeeded" => "payment.completed",
        "requires_action" => "payment.requires_action",
        "processing" => "payment.processing",
        other => return Err(Failure::permanent(format_args!("the payment {} is {other}", paid.id))),
    };
    webhook::publish(
        event,
        &json!({
            "jobId": job.id, "paymentIntent": paid.id, "status": paid.status, "amount": paid.amount,
            "currency": order.currency, "venueId": order.venue_id, "userId": order.user_id, "eventId": order.event_id,
        }),
    )?;
    let email_job = if paid.status == "succeeded" { confirmation(order, &job.id) } else { None };
    Ok(Receipt {
        status: paid.status,
        payment_intent: paid.id,
        amount: paid.amount,
        currency: order.currency.clone(),
        email_job,
    })
}

fn charge(order: &Order, job: &str) -> Result<Outcome, Error> {
    let mut payment = Payment::new(order.amount, order.currency.to_ascii_lowercase())
        .method(&order.payment_method)
        .confirm()
        // No browser is here that could be sent to another page and back.
        .extra("automatic_payment_methods[enabled]", "true")
        .extra("automatic_payment_methods[allow_redirects]", "never")
        .extra("metadata[job]", job);
    if let Some(customer) = &order.customer {
        payment = payment.customer(customer);
    }
    payment.create()
}

/// The money has moved by now: a mail that can't be sent doesn't make that undone, so it is no failure of the job.
fn confirmation(order: &Order, job: &str) -> Option<String> {
    // By its content alone the mail would be the same for two orders of one buyer in a day, and only one would be sent.
    match NewJob::new("send-email", &mail(order, job)).key(format!("payment-confirmation-{job}")).enqueue() {
        Ok(id) => Some(id),
        Err(_) => {
            log::error("paid, and the confirmation was not taken; is send-email served here?", &[]);
            None
        }
    }
}

/// A payload of `send-email`.
fn mail(order: &Order, job: &str) -> Value {
    json!({
        "to": order.email,
        "template": "payment-confirmation",
        "data": {
            "name": order.name.as_deref().unwrap_or("guest"),
            "eventName": order.event_name.as_deref().unwrap_or(&order.event_id),
            "orderId": job,
            "currency": order.currency,
            "total": order.amount,
            "items": order.items,
        },
    })
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use usher_plugin::testing::Host;

    use super::*;

    fn job(amount: u64) -> Job<Order> {
        let order = json!({
            "venueId": "v1", "userId": "u1", "eventId": "opening-night", "amount": amount, "currency": "EUR",
            "paymentMethod": "pm_1", "email": "ada@example.com", "name": "Ada",
            "items": [{"name": "Seat", "quantity": 2, "unitAmount": 1250}],
        });
        Job::sample("payment-process", serde_json::from_value(order).expect("an order as the schema has it"))
    }

    fn answered(status: &str) -> Host {
        Host::new().ok(json!({"id": "pi_1", "status": status, "amount": 2500, "currency": "eur"}))
    }

    #[test]
    fn what_is_paid_is_told_and_confirmed_under_a_key_of_the_job() {
        let mut host = answered("succeeded");
        let receipt = host.run(|| process(job(2500))).expect("a receipt");
        assert_eq!((receipt.status.as_str(), receipt.payment_intent.as_str()), ("succeeded", "pi_1"));
        let asked = &host.effects()[0];
        assert_eq!(asked.call, "stripe.create-payment-intent");
        assert_eq!((&asked.request["confirm"], &asked.request["currency"]), (&json!(true), &json!("eur")));
        assert_eq!(host.events()[0].event_type, "payment.completed");
        assert_eq!(host.events()[0].data["paymentIntent"], "pi_1");
        let mail = &host.jobs()[0];
        assert_eq!((mail.job_type.as_str(), &mail.payload["to"]), ("send-email", &json!("ada@example.com")));
        assert_eq!(mail.key.as_deref(), Some("payment-confirmation-01900000-0000-7000-8000-000000000000"));
    }

    #[test]
    fn what_the_buyer_must_act_on_is_told_and_not_called_paid() {
        for (status, event) in [("requires_action", "payment.requires_action"), ("processing", "payment.processing")] {
            let mut host = answered(status);
            let receipt = host.run(|| process(job(2500))).expect("a receipt");
            assert_eq!((receipt.status.as_str(), receipt.email_job), (status, None));
            assert_eq!(host.events()[0].event_type, event);
            assert!(host.jobs().is_empty());
        }
    }

    #[test]
    fn a_declined_card_is_final_and_leaves_nothing() {
        let mut host = Host::new().rejected("insufficient_funds", "Your card has insufficient funds.");
        let failure = host.run(|| process(job(2500))).expect_err("declined");
        assert_eq!(
            failure,
            Failure::Permanent("rejected (insufficient_funds): Your card has insufficient funds.".to_owned())
        );
        assert!(host.jobs().is_empty() && host.events().is_empty());
        let mut odd = answered("canceled");
        assert!(matches!(odd.run(|| process(job(2500))), Err(Failure::Permanent(_))));
    }

    #[test]
    fn an_order_that_does_not_add_up_asks_nobody() {
        let mut host = Host::new();
        let failure = host.run(|| process(job(2400))).expect_err("refused");
        assert!(matches!(failure, Failure::Permanent(_)));
        assert!(host.effects().is_empty() && host.jobs().is_empty());
    }
}
