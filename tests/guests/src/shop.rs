//! An order as a business has it: money, a mail, a service, a job and an event. What another release of it does otherwise is
//! planted in its bytes by the tests, so that all releases are one build.

use std::hint::black_box;

use serde::Deserialize;
use serde_json::{Value, json};
use usher_plugin::{Failure, context, email::Message, jobs, stripe::Transfer, upstream::Request, webhook};

use crate::misbehave;

/// After the colon are eight bytes for what is planted.
const PLANT: &str = "usher-test-plant:nothing ";

fn is_planted(what: &str) -> bool {
    black_box(PLANT).split(':').nth(1).is_some_and(|word| word.trim_end() == what)
}

#[derive(Debug, Deserialize)]
pub struct Order {
    order: String,
    amount: u64,
}

#[derive(Debug, Deserialize)]
pub struct Note {
    order: String,
    amount: u64,
}

impl Order {
    pub fn run(self) -> Result<Value, Failure> {
        let Self { order, amount } = self;
        let off = |what: &str| amount + u64::from(is_planted(what));
        let transfer = || Transfer::new(off("amount"), "eur", "acct_venue").create();
        let mail = |title: &str| Message::new("buyer@example.com", format!("{title} {order}"), "Thank you.").send();
        if is_planted("trap") {
            panic!("planted");
        }
        if is_planted("loop") {
            misbehave::endless();
        }
        if is_planted("order") {
            mail("Order")?;
        }
        let paid = transfer()?;
        if !is_planted("order") && !is_planted("drop") {
            mail("Order")?;
        }
        // Another text of the same length.
        let ticket: String = if is_planted("body") { order.chars().rev().collect() } else { order.clone() };
        Request::post("rig", "/mint").json(&json!({"ticket": ticket}))?.call()?.expect_ok()?;
        if is_planted("extra") {
            mail("Again")?;
        }
        jobs::enqueue("guest-shop-note", &json!({"do": "shop-note", "order": order, "amount": off("child")}))?;
        webhook::publish("guest.happened", &json!({"order": order, "amount": off("event")}))?;
        Ok(json!({"order": order, "transfer": paid.id, "amount": off("result"), "at": context::now_ms()}))
    }
}

impl Note {
    /// No effect, and a look at the clock.
    pub fn run(self) -> Result<Value, Failure> {
        Ok(json!({"order": self.order, "amount": self.amount, "at": context::now_ms()}))
    }
}
