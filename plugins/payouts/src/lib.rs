//! `payout-process`: pays a venue, by a payout to a bank account (the profile's own, or a connected account's) or by a transfer to
//! a connected account. Which accounts may be named is the operator's to say (`stripe.profiles.NAME.connected`).
//!
//! Stripe says that a payout is made long before a bank has it: the event is `payout.created`, and the result holds Stripe's status.

use serde::{Deserialize, Serialize};
use serde_json::json;
use usher_plugin::{
    Error, Failure, Job,
    stripe::{self, Outcome, Transfer},
    webhook,
};

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Payout {
    venue_id: String,
    period: Option<String>,
    payout_id: Option<String>,
    amount: u64,
    currency: String,
    account: Option<String>,
    transfer_to: Option<String>,
}

/// The job's result.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Paid {
    /// `payout` or `transfer`.
    kind: &'static str,
    /// Stripe's: `po_…` or `tr_…`.
    id: String,
    /// Stripe's word, such as `pending`; `created` for a transfer, which has none.
    status: String,
    /// As Stripe counts it.
    amount: u64,
    currency: String,
}

fn process(job: Job<Payout>) -> Result<Paid, Failure> {
    let wanted = &job.payload;
    let (kind, made) = match (&wanted.account, &wanted.transfer_to) {
        (None, Some(to)) => ("transfer", transfer(wanted, to, &job.id)?),
        (account, None) => ("payout", payout(wanted, account.as_deref(), &job.id)?),
        (Some(_), Some(_)) => return Err(Failure::permanent("a payout of an account, or a transfer to one; not both")),
    };
    if matches!(made.status.as_str(), "failed" | "canceled") {
        return Err(Failure::permanent(format_args!("the {kind} {} is {}", made.id, made.status)));
    }
    webhook::publish(
        "payout.created",
        &json!({
            "jobId": job.id, "kind": kind, "id": made.id, "status": made.status, "amount": made.amount,
            "currency": wanted.currency, "venueId": wanted.venue_id, "period": wanted.period,
            "payoutId": wanted.payout_id, "account": wanted.account.as_ref().or(wanted.transfer_to.as_ref()),
        }),
    )?;
    Ok(Paid { kind, id: made.id, status: made.status, amount: made.amount, currency: wanted.currency.clone() })
}

fn payout(wanted: &Payout, account: Option<&str>, job: &str) -> Result<Outcome, Error> {
    let currency = wanted.currency.to_ascii_lowercase();
    let mut payout = stripe::Payout::new(wanted.amount, currency).extra("metadata[job]", job);
    if let Some(account) = account {
        payout = payout.of(account);
    }
    payout.create()
}

fn transfer(wanted: &Payout, to: &str, job: &str) -> Result<Outcome, Error> {
    let currency = wanted.currency.to_ascii_lowercase();
    Transfer::new(wanted.amount, currency, to).extra("metadata[job]", job).create()
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use usher_plugin::testing::Host;

    use super::*;

    fn job(more: Value) -> Job<Payout> {
        let mut payload = json!({"venueId": "v1", "period": "2026-08", "amount": 700, "currency": "EUR"});
        payload.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Job::sample("payout-process", serde_json::from_value(payload).expect("fields as the schema has them"))
    }

    fn answered(id: &str, status: &str) -> Host {
        Host::new().ok(json!({"id": id, "status": status, "amount": 700, "currency": "eur"}))
    }

    #[test]
    fn a_bank_or_a_connected_account_is_paid() {
        for (more, call, field) in [
            (json!({}), "stripe.create-payout", Value::Null),
            (json!({"account": "acct_1"}), "stripe.create-payout", json!("acct_1")),
        ] {
            let mut host = answered("po_1", "pending");
            let paid = host.run(|| process(job(more))).expect("a payout");
            assert_eq!((paid.kind, paid.id.as_str(), paid.status.as_str()), ("payout", "po_1", "pending"));
            assert_eq!((host.effects()[0].call, &host.effects()[0].request["account"]), (call, &field));
            assert_eq!(host.events()[0].data["account"], field);
        }
        let mut host = answered("tr_1", "created");
        let paid = host.run(|| process(job(json!({"transferTo": "acct_2"})))).expect("a transfer");
        assert_eq!((paid.kind, host.effects()[0].call), ("transfer", "stripe.create-transfer"));
        assert_eq!(host.effects()[0].request["destination"], "acct_2");
    }

    #[test]
    fn what_stripe_refuses_or_gives_up_is_no_payout() {
        let mut host = Host::new().rejected("balance_insufficient", "You have insufficient funds.");
        assert!(matches!(host.run(|| process(job(json!({})))), Err(Failure::Permanent(_))));
        let mut host = answered("po_1", "failed");
        assert!(matches!(host.run(|| process(job(json!({})))), Err(Failure::Permanent(_))));
        assert!(host.events().is_empty());
        let both = json!({"account": "acct_1", "transferTo": "acct_2"});
        assert!(matches!(Host::new().run(|| process(job(both))), Err(Failure::Permanent(_))));
    }
}
