//! The payload of `payment-process`, the rules that a schema can't say, and the words of the mail.

use std::fmt::Write;

use serde::Deserialize;

use crate::money::written;

/// As `schema.json` has it. Amounts are in the currency's minor unit.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    #[expect(dead_code, reason = "part of the idempotency key, which the host derives")]
    venue_id: String,
    #[expect(dead_code, reason = "part of the idempotency key, which the host derives")]
    user_id: String,
    pub event_id: String,
    pub amount: u64,
    pub currency: String,
    pub email: String,
    pub items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Item {
    name: String,
    quantity: u64,
    unit_amount: u64,
}

impl Order {
    /// The items must add up to the amount: whoever charges one and lists the other has to answer for it.
    pub fn check(&self) -> Result<(), String> {
        let sum = self
            .items
            .iter()
            .try_fold(0_u64, |sum, item| item.quantity.checked_mul(item.unit_amount)?.checked_add(sum));
        match sum {
            Some(sum) if sum == self.amount => Ok(()),
            Some(sum) => Err(format!("the items add up to {sum}, the amount is {}", self.amount)),
            None => Err("the items add up to more than can be counted".to_owned()),
        }
    }

    pub fn subject(&self) -> String {
        format!("Order received for {}", self.event_id)
    }

    pub fn text(&self) -> String {
        let mut text = format!("We received your order for {}. It has not been charged.\n\n", self.event_id);
        for Item { name, quantity, unit_amount } in &self.items {
            let _ = writeln!(text, "{quantity} x {name}, {} each", written(*unit_amount, &self.currency));
        }
        let _ = writeln!(text, "\nTotal: {}", written(self.amount, &self.currency));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(amount: u64, items: &[(u64, u64)]) -> Order {
        let items: Vec<_> = items
            .iter()
            .map(|(quantity, unit)| serde_json::json!({"name": "Seat", "quantity": quantity, "unitAmount": unit}))
            .collect();
        serde_json::from_value(serde_json::json!({
            "venueId": "v1", "userId": "u1", "eventId": "opening-night", "amount": amount, "currency": "EUR",
            "email": "ada@example.com", "items": items,
        }))
        .expect("an order as the schema has it")
    }

    #[test]
    fn items_that_do_not_add_up_are_refused() {
        assert_eq!(order(5000, &[(2, 2000), (1, 1000)]).check(), Ok(()));
        assert_eq!(order(5000, &[(2, 2000)]).check(), Err("the items add up to 4000, the amount is 5000".to_owned()));
    }

    #[test]
    fn a_sum_never_wraps() {
        let wrapping = order(0, &[(u64::MAX, 1), (1, 1)]);
        assert!(wrapping.check().expect_err("2^64").contains("more than can be counted"));
        assert!(order(0, &[(u64::MAX, 2)]).check().is_err());
    }

    #[test]
    fn the_mail_says_that_nothing_was_charged() {
        let order = order(5000, &[(2, 2000), (1, 1000)]);
        assert_eq!(order.subject(), "Order received for opening-night");
        assert_eq!(
            order.text(),
            "We received your order for opening-night. It has not been charged.\n\n\
             2 x Seat, 20.00 EUR each\n1 x Seat, 10.00 EUR each\n\nTotal: 50.00 EUR\n"
        );
    }
}
