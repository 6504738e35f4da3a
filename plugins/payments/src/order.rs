//! The payload of `payment-process`, and the one rule of it that a schema can't say.

use serde::{Deserialize, Serialize};

/// As `schema.json` has it. Amounts are as Stripe counts them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    pub venue_id: String,
    pub user_id: String,
    pub event_id: String,
    pub event_name: Option<String>,
    pub amount: u64,
    pub currency: String,
    pub payment_method: String,
    pub customer: Option<String>,
    pub name: Option<String>,
    pub email: String,
    pub items: Vec<Item>,
}

#[derive(Debug, Serialize, Deserialize)]
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
            "paymentMethod": "pm_1", "email": "ada@example.com", "items": items,
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
}
