use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Request, What,
    account::Account,
    currency::{self, code},
};
use crate::effects::card;

/// A request to Stripe, checked: where it goes and what it says. The marks that tell whose it is are put on when it is
/// sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub what: What,
    pub path: String,
    pub form: Vec<(String, String)>,
    /// The connected account it is for.
    pub on: Option<String>,
}

/// Why nothing is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum No {
    Denied(String),
    Invalid(String),
}

fn invalid<T>(message: impl Into<String>) -> Result<T, No> {
    Err(No::Invalid(message.into()))
}

pub(super) fn outgoing(account: &Account, request: Request) -> Result<Outgoing, No> {
    let mut form = Form::default();
    let mut on = account.account.clone();
    let (what, path) = match request {
        Request::CreatePaymentIntent {
            amount,
            currency,
            customer,
            payment_method,
            confirm,
            destination,
            application_fee,
            extra,
        } => {
            form.money(amount, &currency, false)?;
            form.optional("customer", id("customer", "cus_", customer)?);
            // A card's number is none, and must not get as far as into Stripe's answer.
            if payment_method.as_ref().is_some_and(|id| !METHODS.iter().any(|prefix| is_id(prefix, id))) {
                return invalid("payment-method: is no id of one (pm_…)");
            }
            form.optional("payment_method", payment_method);
            form.add("confirm", confirm.to_string());
            if let Some(fee) = application_fee {
                if fee > amount || destination.is_none() && account.account.is_none() {
                    return invalid("application-fee: at most the amount, and only where a connected account is paid");
                }
                form.add("application_fee_amount", fee.to_string());
            }
            if let Some(destination) = destination {
                form.add("transfer_data[destination]", reached(account, destination)?);
            }
            form.extra(&PAYMENT_EXTRA, extra)?;
            (What::Payment { confirm }, "/v1/payment_intents".to_owned())
        }
        Request::GetPaymentIntent { id } => {
            let id = payment_intent(id)?;
            (What::Get { id: id.clone() }, format!("/v1/payment_intents/{id}"))
        }
        Request::CapturePaymentIntent { id, amount } => {
            let id = payment_intent(id)?;
            if let Some(amount) = amount {
                form.add("amount_to_capture", part(amount)?);
            }
            (What::Capture { id: id.clone() }, format!("/v1/payment_intents/{id}/capture"))
        }
        Request::CancelPaymentIntent { id, reason } => {
            let id = payment_intent(id)?;
            form.optional("cancellation_reason", word("reason", &CANCEL_REASONS, reason)?);
            (What::Cancel { id: id.clone() }, format!("/v1/payment_intents/{id}/cancel"))
        }
        Request::CreateRefund { payment_intent: of, amount, reason, extra } => {
            let of = payment_intent(of)?;
            form.add("payment_intent", of.clone());
            if let Some(amount) = amount {
                form.add("amount", part(amount)?);
            }
            form.optional("reason", word("reason", &REFUND_REASONS, reason)?);
            form.extra(&REFUND_EXTRA, extra)?;
            (What::Refund { payment_intent: of }, "/v1/refunds".to_owned())
        }
        Request::CreatePayout { account: to, amount, currency, extra } => {
            form.money(amount, &currency, true)?;
            if let Some(to) = to {
                on = Some(reached(account, to)?);
            }
            form.extra(&PAYOUT_EXTRA, extra)?;
            (What::Payout, "/v1/payouts".to_owned())
        }
        Request::CreateTransfer { amount, currency, destination, transfer_group, extra } => {
            form.money(amount, &currency, false)?;
            form.add("destination", reached(account, destination)?);
            if let Some(group) = &transfer_group {
                form.add("transfer_group", text("transfer-group", group)?);
            }
            // Where tenants share an account, the charge may be another's.
            form.extra(if account.is_shared { &TRANSFER_EXTRA[..1] } else { &TRANSFER_EXTRA }, extra)?;
            (What::Transfer { group: transfer_group }, "/v1/transfers".to_owned())
        }
    };
    Ok(Outgoing { what, path, form: form.fields, on })
}

/// Further fields that a guest may set, by function. `metadata[…]` always.
const PAYMENT_EXTRA: [&str; 14] = [
    "description",
    "receipt_email",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "setup_future_usage",
    "capture_method",
    "off_session",
    "return_url",
    "transfer_group",
    "payment_method_types[]",
    "payment_method_types[0]",
    "payment_method_types[1]",
    "automatic_payment_methods[enabled]",
    "automatic_payment_methods[allow_redirects]",
];
const REFUND_EXTRA: [&str; 2] = ["reverse_transfer", "refund_application_fee"];
const PAYOUT_EXTRA: [&str; 3] = ["description", "statement_descriptor", "method"];
const TRANSFER_EXTRA: [&str; 2] = ["description", "source_transaction"];

/// What ids of payment methods begin with; all but the first are of older kinds.
const METHODS: [&str; 4] = ["pm_", "card_", "src_", "ba_"];

const REFUND_REASONS: [&str; 3] = ["duplicate", "fraudulent", "requested_by_customer"];
const CANCEL_REASONS: [&str; 4] = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];

/// Most metadata of a guest; Stripe takes 50, and some are the host's.
const MAX_METADATA: usize = 40;
/// Longest key and value of Stripe's metadata.
const MAX_KEY: usize = 40;
const MAX_VALUE: usize = 500;

#[derive(Default)]
struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.fields.push((name.to_owned(), value.into()));
    }

    fn optional(&mut self, name: &str, value: Option<String>) {
        self.fields.extend(value.map(|value| (name.to_owned(), value)));
    }

    fn money(&mut self, amount: u64, currency: &str, is_payout: bool) -> Result<(), No> {
        let currency = code(currency).map_err(No::Invalid)?;
        currency::amount(amount, &currency, is_payout).map_err(No::Invalid)?;
        self.add("amount", amount.to_string());
        self.add("currency", currency);
        Ok(())
    }

    fn extra(&mut self, allowed: &[&str], extra: Vec<(String, String)>) -> Result<(), No> {
        let mut seen = BTreeSet::new();
        let mut metadata = 0;
        for (name, value) in extra {
            let key = name.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']'));
            match key {
                Some(key) if key.starts_with("usher") => return invalid(format!("extra: {name} is the host's")),
                Some(key) if key.is_empty() || key.len() > MAX_KEY || key.contains(['[', ']']) || !is_text(key) => {
                    return invalid("extra: a metadata key has 1 to 40 characters and no brackets");
                }
                Some(key) if card::is_in(key) => return invalid("extra: a metadata key holds a card's number"),
                Some(_) => metadata += 1,
                None if allowed.contains(&name.as_str()) => {}
                // Not quoted: it may be anything.
                None => {
                    return invalid(format!("extra: takes {} and metadata[…], nothing else", allowed.join(", ")));
                }
            }
            if metadata > MAX_METADATA {
                return invalid(format!("extra: at most {MAX_METADATA} metadata"));
            }
            let value = text("extra", &value)?;
            if !seen.insert(name.clone()) {
                return invalid(format!("extra: {name} is there twice"));
            }
            self.fields.push((name, value));
        }
        Ok(())
    }
}

fn is_text(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn text(place: &str, value: &str) -> Result<String, No> {
    if value.is_empty() || value.len() > MAX_VALUE || !is_text(value) {
        return invalid(format!("{place}: a value has 1 to {MAX_VALUE} bytes and no control characters"));
    }
    // Stripe would keep it, and show it again.
    if card::is_in(value) {
        return invalid(format!("{place}: holds a card's number"));
    }
    Ok(value.to_owned())
}

/// A part of a payment, whose currency Stripe knows.
fn part(amount: u64) -> Result<String, No> {
    currency::amount(amount, "idr", false).map_err(No::Invalid)?;
    Ok(amount.to_string())
}

fn word(place: &str, known: &[&str], value: Option<String>) -> Result<Option<String>, No> {
    match value {
        Some(value) if !known.contains(&value.as_str()) => invalid(format!("{place}: one of {}", known.join(", "))),
        value => Ok(value),
    }
}

/// It becomes part of a path, so nothing but an id may be in it.
fn is_id(prefix: &str, id: &str) -> bool {
    id.starts_with(prefix)
        && (prefix.len() + 1..=255).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !card::is_in(id)
}

fn id(place: &str, prefix: &str, id: Option<String>) -> Result<Option<String>, No> {
    match id {
        Some(id) if !is_id(prefix, &id) => invalid(format!("{place}: is no id of Stripe's ({prefix}…)")),
        id => Ok(id),
    }
}

fn payment_intent(id: String) -> Result<String, No> {
    if is_id("pi_", &id) { Ok(id) } else { invalid("payment-intent: is no id of one (pi_…)") }
}

/// A connected account that the profile may pay.
fn reached(account: &Account, id: String) -> Result<String, No> {
    if !is_id("acct_", &id) {
        return invalid("the destination is no account's id (acct_…)");
    }
    if !account.reaches(&id) {
        let profile = &account.profile;
        return Err(No::Denied(format!("stripe.profiles.{profile}.connected does not name the account {id}")));
    }
    Ok(id)
}

impl Request {
    /// The name in `[grants]`.
    pub fn function(&self) -> &'static str {
        match self {
            Self::CreatePaymentIntent { .. } => "create-payment-intent",
            Self::GetPaymentIntent { .. } => "get-payment-intent",
            Self::CapturePaymentIntent { .. } => "capture-payment-intent",
            Self::CancelPaymentIntent { .. } => "cancel-payment-intent",
            Self::CreateRefund { .. } => "create-refund",
            Self::CreatePayout { .. } => "create-payout",
            Self::CreateTransfer { .. } => "create-transfer",
        }
    }

    /// All that makes it what it is.
    pub fn identity(&self) -> Value {
        match self {
            Self::CreatePaymentIntent {
                amount,
                currency,
                customer,
                payment_method,
                confirm,
                destination,
                application_fee,
                extra,
            } => json!({
                "amount": amount, "currency": currency, "customer": customer, "paymentMethod": payment_method,
                "confirm": confirm, "destination": destination, "applicationFee": application_fee, "extra": extra,
            }),
            Self::GetPaymentIntent { id } => json!({ "paymentIntent": id }),
            Self::CapturePaymentIntent { id, amount } => json!({ "paymentIntent": id, "amount": amount }),
            Self::CancelPaymentIntent { id, reason } => json!({ "paymentIntent": id, "reason": reason }),
            Self::CreateRefund { payment_intent, amount, reason, extra } => {
                json!({ "paymentIntent": payment_intent, "amount": amount, "reason": reason, "extra": extra })
            }
            Self::CreatePayout { account, amount, currency, extra } => {
                json!({ "account": account, "amount": amount, "currency": currency, "extra": extra })
            }
            Self::CreateTransfer { amount, currency, destination, transfer_group, extra } => json!({
                "amount": amount, "currency": currency, "destination": destination, "transferGroup": transfer_group,
                "extra": extra,
            }),
        }
    }

    /// The same for people: of `extra` only which fields there are, and nothing that no id of Stripe's looks like.
    pub fn redacted(&self) -> Value {
        let mut shown = self.identity();
        if let Value::Object(fields) = &mut shown {
            for (name, value) in fields {
                match value {
                    Value::Array(pairs) => {
                        *value = pairs.iter().filter_map(|pair| pair.get(0).cloned()).map(shortened).collect();
                    }
                    Value::String(text) if name != "currency" && name != "reason" && !is_id("", text) => {
                        *value = Value::from("(no id)");
                    }
                    // A card's number is digits only.
                    Value::String(text) if text.len() > 8 && text.bytes().all(|b| b.is_ascii_digit()) => {
                        *value = Value::from("(digits)");
                    }
                    _ => *value = shortened(value.take()),
                }
            }
        }
        shown
    }
}

fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) => text.chars().filter(|c| !c.is_control()).take(100).collect::<String>().into(),
        value => value,
    }
}
