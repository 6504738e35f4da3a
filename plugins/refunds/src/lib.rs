//! `refund-process`: gives back a payment or a part of it, tells the shop's servers, and sends the buyer's confirmation.
//!
//! What Stripe refuses (more than is left, a payment that was given back already) ends the job for good. A refund that Stripe
//! could not finish yet is `pending`: told as that, and confirmed to nobody.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use usher_plugin::{
    Error, Failure, Job,
    jobs::NewJob,
    log,
    stripe::{self, Outcome},
    webhook,
};

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refund {
    venue_id: String,
    transaction_id: String,
    amount: Option<u64>,
    reason: Option<String>,
    order_id: Option<String>,
    name: Option<String>,
    email: Option<String>,
}

/// The job's result.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refunded {
    /// Stripe's word: `succeeded`, `pending` or `requires_action`.
    status: String,
    refund: String,
    transaction_id: String,
    /// As Stripe counts it.
    amount: u64,
    currency: String,
    /// The job that sends the confirmation.
    email_job: Option<String>,
}

fn process(job: Job<Refund>) -> Result<Refunded, Failure> {
    let wanted = &job.payload;
    let made = give_back(wanted, &job.id)?;
    let event = match made.status.as_str() {
        "succeeded" => "refund.completed",
        // Stripe asks the buyer where the money shall go, or a bank takes its time.
        "pending" | "requires_action" => "refund.pending",
        other => return Err(Failure::permanent(format_args!("the refund {} is {other}", made.id))),
    };
    let currency = made.currency.to_ascii_uppercase();
    webhook::publish(
        event,
        &json!({
            "jobId": job.id, "refund": made.id, "transactionId": wanted.transaction_id, "status": made.status,
            "amount": made.amount, "currency": currency, "venueId": wanted.venue_id,
        }),
    )?;
    let email_job = match &wanted.email {
        Some(email) if made.status == "succeeded" => {
            confirmation(&mail(wanted, email, made.amount, &currency), &job.id)
        }
        _ => None,
    };
    Ok(Refunded {
        status: made.status,
        refund: made.id,
        transaction_id: wanted.transaction_id.clone(),
        amount: made.amount,
        currency,
        email_job,
    })
}

fn give_back(wanted: &Refund, job: &str) -> Result<Outcome, Error> {
    let mut refund = stripe::Refund::of(&wanted.transaction_id).extra("metadata[job]", job);
    if let Some(amount) = wanted.amount {
        refund = refund.amount(amount);
    }
    if let Some(reason) = &wanted.reason {
        refund = refund.reason(reason);
    }
    refund.create()
}

/// The money is back by now: a mail that can't be sent is no failure of the job.
fn confirmation(mail: &Value, job: &str) -> Option<String> {
    // By its content alone a second refund to one buyer in a day would send no mail.
    match NewJob::new("send-email", mail).key(format!("refund-confirmation-{job}")).enqueue() {
        Ok(id) => Some(id),
        Err(_) => {
            log::error("refunded, and the confirmation was not taken; is send-email served here?", &[]);
            None
        }
    }
}

/// A payload of `send-email`.
fn mail(wanted: &Refund, email: &str, amount: u64, currency: &str) -> Value {
    let mut data = json!({
        "name": wanted.name.as_deref().unwrap_or("guest"),
        "orderId": wanted.order_id.as_ref().unwrap_or(&wanted.transaction_id),
        "amount": amount,
        "currency": currency,
    });
    if let Some(reason) = &wanted.reason {
        data["reason"] = reason.replace('_', " ").into();
    }
    json!({"to": email, "template": "refund-confirmation", "data": data})
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use usher_plugin::testing::Host;

    use super::*;

    fn job(more: Value) -> Job<Refund> {
        let mut payload = json!({"venueId": "v1", "transactionId": "pi_1", "email": "ada@example.com"});
        payload.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Job::sample("refund-process", serde_json::from_value(payload).expect("fields as the schema has them"))
    }

    fn answered(status: &str) -> Host {
        Host::new().ok(json!({"id": "re_1", "status": status, "amount": 1000, "currency": "eur"}))
    }

    #[test]
    fn a_part_or_all_is_given_back_told_and_confirmed() {
        let mut host = answered("succeeded");
        let made =
            host.run(|| process(job(json!({"amount": 1000, "reason": "requested_by_customer"})))).expect("a refund");
        assert_eq!((made.refund.as_str(), made.currency.as_str()), ("re_1", "EUR"));
        assert_eq!(host.effects()[0].request["amount"], 1000);
        assert_eq!(host.events()[0].event_type, "refund.completed");
        assert_eq!(host.jobs()[0].payload["data"]["reason"], "requested by customer");
        assert_eq!(host.jobs()[0].key.as_deref(), Some("refund-confirmation-01900000-0000-7000-8000-000000000000"));
        let mut whole = answered("succeeded");
        whole.run(|| process(job(json!({})))).expect("a refund");
        assert_eq!(whole.effects()[0].request["amount"], Value::Null, "all that is left");
    }

    #[test]
    fn what_is_pending_is_confirmed_to_nobody_and_what_failed_fails() {
        let mut host = answered("pending");
        let made = host.run(|| process(job(json!({})))).expect("a refund");
        assert_eq!((made.status.as_str(), made.email_job), ("pending", None));
        assert_eq!(host.events()[0].event_type, "refund.pending");
        let mut failed = answered("failed");
        assert!(matches!(failed.run(|| process(job(json!({})))), Err(Failure::Permanent(_))));
        assert!(failed.events().is_empty());
    }

    #[test]
    fn more_than_is_left_is_refused_for_good() {
        let mut host = Host::new().rejected("charge_already_refunded", "Charge has already been refunded.");
        assert!(matches!(host.run(|| process(job(json!({})))), Err(Failure::Permanent(_))));
        assert!(host.jobs().is_empty() && host.events().is_empty());
    }
}
