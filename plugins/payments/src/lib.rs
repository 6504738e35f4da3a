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
