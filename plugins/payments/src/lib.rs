//! `payment-process`: checks an order, tells the buyer that it was received, and answers what it did.
//!
//! It charges nobody: it asks for no grant that could, its result says `"charged": false`, and so does the mail.

mod money;
mod order;

use serde::Serialize;
use usher_plugin::{Failure, Job, jobs::NewJob, log};

use crate::order::Order;

/// The job's result.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    charged: bool,
    status: &'static str,
    /// In the currency's minor unit.
    amount: u64,
    currency: String,
    /// The job that sends the mail.
    email_job: String,
}

/// The payload of `send-email` that this plugin uses.
#[derive(Serialize)]
struct Mail<'a> {
    to: &'a str,
    subject: String,
    text: String,
}

fn process(job: Job<Order>) -> Result<Receipt, Failure> {
    let order = &job.payload;
    order.check().map_err(Failure::permanent)?;

    let mail = Mail { to: &order.email, subject: order.subject(), text: order.text() };
    // By its content alone the mail would be the same for two orders of one buyer for one event in a day.
    let email_job = NewJob::new("send-email", &mail).key(format!("order-received-{}", job.id)).enqueue()?;

    log::info("order received", &[("order.items", &order.items.len()), ("order.currency", &order.currency)]);
    Ok(Receipt {
        charged: false,
        status: "received",
        amount: order.amount,
        currency: order.currency.clone(),
        email_job,
    })
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_plugin::testing::Host;

    use super::*;

    fn job(amount: u64) -> Job<Order> {
        let order = json!({
            "venueId": "v1", "userId": "u1", "eventId": "opening-night", "amount": amount, "currency": "EUR",
            "email": "ada@example.com", "items": [{"name": "Seat", "quantity": 2, "unitAmount": 1250}],
        });
        Job::sample("payment-process", serde_json::from_value(order).expect("an order as the schema has it"))
    }

    #[test]
    fn each_order_has_a_mail_of_its_own() {
        let mut host = Host::new();
        let job = job(2500);
        let key = format!("order-received-{}", job.id);
        let receipt = host.run(|| process(job)).expect("a receipt");
        assert!(!receipt.charged);
        assert!(host.effects().is_empty(), "it moves no money and asks nobody");
        assert_eq!(host.jobs()[0].job_type, "send-email");
        assert_eq!(host.jobs()[0].key.as_deref(), Some(key.as_str()));
        assert_eq!(host.jobs()[0].payload["to"], "ada@example.com");
    }

    #[test]
    fn an_order_that_does_not_add_up_leaves_nothing() {
        let mut host = Host::new();
        let failure = host.run(|| process(job(2400))).map(|_| ()).expect_err("refused");
        assert!(matches!(failure, Failure::Permanent(_)));
        assert!(host.jobs().is_empty());
    }
}
