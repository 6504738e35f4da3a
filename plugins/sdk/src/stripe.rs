//! Stripe through the account that the operator chose for the job's tenant and venue. The manifest's `[grants] stripe` names the
//! functions, and a type that has them lives in a queue of tier 1.
//!
//! Each call happens at most once, whatever becomes of the attempt: the host writes it down before it is sent, and asks Stripe
//! before it is sent again. A card that is declined is an [`Error::Rejected`](crate::Error::Rejected) with Stripe's code. Amounts
//! are in the currency's smallest unit as Stripe has it: 500 is 5 EUR, and 500 JPY. Who reckons with [`Money`] gets them by
//! [`counted`].
//!
//! ```no_run
//! # fn main() -> Result<(), usher_plugin::Failure> {
//! use usher_plugin::stripe::{Payment, Refund};
//! let paid = Payment::new(5_000, "eur").customer("cus_1").method("pm_1").confirm().create()?;
//! if paid.status == "succeeded" {
//!     let part = usher_plugin::Money::new(1_000, "eur")?;
//!     Refund::of(paid.id).amount(usher_plugin::stripe::counted(part)?).create()?;
//! }
//! # Ok(()) }
//! ```

pub use crate::raw::usher::plugin::stripe::Outcome;
use crate::{Error, Money, host, money::MoneyError, raw::usher::plugin::stripe};

/// A payment intent to be made.
#[derive(Clone, Debug)]
#[must_use = "call create()"]
pub struct Payment(stripe::Payment);

impl Payment {
    pub fn new(amount: u64, currency: impl Into<String>) -> Self {
        Self(stripe::Payment {
            amount,
            currency: currency.into(),
            customer: None,
            payment_method: None,
            confirm: false,
            destination: None,
            application_fee: None,
            extra: Vec::new(),
        })
    }

    /// The same of an amount that was reckoned with. [`Money`] has the digits of ISO 4217; here it becomes what Stripe counts.
    pub fn of(amount: Money) -> Result<Self, MoneyError> {
        Ok(Self::new(counted(amount)?, amount.currency().as_str().to_ascii_lowercase()))
    }

    pub fn customer(mut self, id: impl Into<String>) -> Self {
        self.0.customer = Some(id.into());
        self
    }

    pub fn method(mut self, id: impl Into<String>) -> Self {
        self.0.payment_method = Some(id.into());
        self
    }

    /// Charges at once.
    pub fn confirm(mut self) -> Self {
        self.0.confirm = true;
        self
    }

    /// Paid to a connected account, less a fee that stays.
    pub fn destination(mut self, account: impl Into<String>, fee: Option<u64>) -> Self {
        self.0.destination = Some(account.into());
        self.0.application_fee = fee;
        self
    }

    /// A further form field, such as `description` or `metadata[order]`; the host has a list of those it takes.
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.extra.push((name.into(), value.into()));
        self
    }

    pub fn create(self) -> Result<Outcome, Error> {
        Ok(host::create_payment_intent(&self.0)?)
    }
}

/// A payment intent as it is now.
pub fn payment_intent(id: &str) -> Result<Outcome, Error> {
    Ok(host::get_payment_intent(id)?)
}

/// Takes what was authorised, or less of it.
pub fn capture(payment_intent: &str, amount: Option<u64>) -> Result<Outcome, Error> {
    Ok(host::capture_payment_intent(payment_intent, amount)?)
}

/// `reason`: `duplicate`, `fraudulent`, `requested_by_customer` or `abandoned`.
pub fn cancel(payment_intent: &str, reason: Option<&str>) -> Result<Outcome, Error> {
    Ok(host::cancel_payment_intent(payment_intent, reason)?)
}

/// A refund to be made: of all that is left, unless an amount is given.
#[derive(Clone, Debug)]
#[must_use = "call create()"]
pub struct Refund(stripe::Refund);

impl Refund {
    pub fn of(payment_intent: impl Into<String>) -> Self {
        Self(stripe::Refund { payment_intent: payment_intent.into(), amount: None, reason: None, extra: Vec::new() })
    }

    pub fn amount(mut self, amount: u64) -> Self {
        self.0.amount = Some(amount);
        self
    }

    /// `duplicate`, `fraudulent` or `requested_by_customer`.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    /// As [`Payment::extra`].
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.extra.push((name.into(), value.into()));
        self
    }

    pub fn create(self) -> Result<Outcome, Error> {
        Ok(host::create_refund(&self.0)?)
    }
}

/// A payout to be made, from the balance of the profile's account.
#[derive(Clone, Debug)]
#[must_use = "call create()"]
pub struct Payout(stripe::Payout);

impl Payout {
    pub fn new(amount: u64, currency: impl Into<String>) -> Self {
        Self(stripe::Payout { account: None, amount, currency: currency.into(), extra: Vec::new() })
    }

    /// From a connected account's balance.
    pub fn of(mut self, account: impl Into<String>) -> Self {
        self.0.account = Some(account.into());
        self
    }

    /// As [`Payment::extra`].
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.extra.push((name.into(), value.into()));
        self
    }

    pub fn create(self) -> Result<Outcome, Error> {
        Ok(host::create_payout(&self.0)?)
    }
}

/// Money to be moved to a connected account.
#[derive(Clone, Debug)]
#[must_use = "call create()"]
pub struct Transfer(stripe::Transfer);

impl Transfer {
    pub fn new(amount: u64, currency: impl Into<String>, destination: impl Into<String>) -> Self {
        Self(stripe::Transfer {
            amount,
            currency: currency.into(),
            destination: destination.into(),
            transfer_group: None,
            extra: Vec::new(),
        })
    }

    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.0.transfer_group = Some(group.into());
        self
    }

    /// As [`Payment::extra`].
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.extra.push((name.into(), value.into()));
        self
    }

    pub fn create(self) -> Result<Outcome, Error> {
        Ok(host::create_transfer(&self.0)?)
    }
}

/// What Stripe counts of it: for a refund, a payout, a transfer, a fee. [`Payment::of`] does it by itself.
///
/// Stripe's digits are those of ISO 4217 but for three currencies (<https://docs.stripe.com/currencies>): kept as a number, 5 ISK
/// would be charged as 0.05.
pub fn counted(money: Money) -> Result<u64, MoneyError> {
    match money.currency().as_str() {
        "ISK" | "UGX" => Ok(money.times(100)?.minor()),
        "MGA" if money.minor().is_multiple_of(100) => Ok(money.minor() / 100),
        "MGA" => Err(MoneyError::Uneven(money.currency())),
        _ => Ok(money.minor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_becomes_what_stripe_counts() {
        let amount = |minor: u64, currency: &str| -> Result<(u64, String), MoneyError> {
            let payment = Payment::of(Money::new(minor, currency).expect("money"))?;
            Ok((payment.0.amount, payment.0.currency))
        };
        assert_eq!(amount(1250, "EUR"), Ok((1250, "eur".to_owned())));
        assert_eq!(amount(500, "JPY"), Ok((500, "jpy".to_owned())));
        assert_eq!(amount(5, "ISK"), Ok((500, "isk".to_owned())));
        assert_eq!(amount(700, "UGX"), Ok((70_000, "ugx".to_owned())));
        assert_eq!(amount(1_000, "MGA"), Ok((10, "mga".to_owned())));
        assert_eq!(amount(1_010, "MGA"), Err(MoneyError::Uneven("MGA".parse().expect("a currency"))));
        assert_eq!(amount(u64::MAX, "ISK"), Err(MoneyError::TooMuch));
    }
}
