//! Behaviours that move money.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use usher_plugin::{
    Error, Failure,
    stripe::{self, Outcome, Payment, Payout, Refund, Transfer},
};

use crate::described;

/// `{"do": "stripe", "call": "payment", "amount": 500, …}`. With `catch`, a refusal is the result; without, it fails the job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    call: Function,
    #[serde(default)]
    amount: Option<u64>,
    currency: Option<String>,
    customer: Option<String>,
    payment_method: Option<String>,
    #[serde(default)]
    confirm: bool,
    payment_intent: Option<String>,
    reason: Option<String>,
    account: Option<String>,
    group: Option<String>,
    application_fee: Option<u64>,
    #[serde(default)]
    extra: BTreeMap<String, String>,
    #[serde(default)]
    catch: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Function {
    Payment,
    Get,
    Capture,
    Cancel,
    Refund,
    Payout,
    Transfer,
}

impl Call {
    pub fn call(self) -> Result<Value, Failure> {
        let catch = self.catch;
        match self.ask() {
            Ok(outcome) => Ok(json!({
                "id": outcome.id, "status": outcome.status, "amount": outcome.amount, "currency": outcome.currency,
                "raw": serde_json::from_str::<Value>(&outcome.raw).unwrap_or_default(),
            })),
            Err(error) if catch => Ok(described(&error)),
            Err(error) => Err(error.into()),
        }
    }

    fn ask(self) -> Result<Outcome, Error> {
        let amount = self.amount.unwrap_or_default();
        let currency = self.currency.unwrap_or_else(|| "usd".to_owned());
        let payment_intent = self.payment_intent.unwrap_or_default();
        match self.call {
            Function::Payment => {
                let mut payment = Payment::new(amount, currency);
                if let Some(customer) = self.customer {
                    payment = payment.customer(customer);
                }
                if let Some(method) = self.payment_method {
                    payment = payment.method(method);
                }
                if self.confirm {
                    payment = payment.confirm();
                }
                if let Some(account) = self.account {
                    payment = payment.destination(account, self.application_fee);
                }
                for (name, value) in self.extra {
                    payment = payment.extra(name, value);
                }
                payment.create()
            }
            Function::Get => stripe::payment_intent(&payment_intent),
            Function::Capture => stripe::capture(&payment_intent, self.amount),
            Function::Cancel => stripe::cancel(&payment_intent, self.reason.as_deref()),
            Function::Refund => {
                let mut refund = Refund::of(payment_intent);
                if let Some(amount) = self.amount {
                    refund = refund.amount(amount);
                }
                if let Some(reason) = self.reason {
                    refund = refund.reason(reason);
                }
                for (name, value) in self.extra {
                    refund = refund.extra(name, value);
                }
                refund.create()
            }
            Function::Payout => {
                let mut payout = Payout::new(amount, currency);
                if let Some(account) = self.account {
                    payout = payout.of(account);
                }
                for (name, value) in self.extra {
                    payout = payout.extra(name, value);
                }
                payout.create()
            }
            Function::Transfer => {
                let mut transfer = Transfer::new(amount, currency, self.account.unwrap_or_default());
                if let Some(group) = self.group {
                    transfer = transfer.group(group);
                }
                for (name, value) in self.extra {
                    transfer = transfer.extra(name, value);
                }
                transfer.create()
            }
        }
    }
}
