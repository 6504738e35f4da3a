use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Account, EFFECT, Stripe};
use crate::journal::ledger::Written;

/// What only one side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "only")]
pub enum Difference {
    /// Stripe shows it, and no line of the ledger does.
    AtStripe { kind: &'static str, id: String, amount: i64, currency: String, profile: String, effect: Option<String> },
    /// A line of the ledger, and Stripe does not show it.
    InLedger { kind: String, id: String, amount: i64, currency: String, profile: String, effect: String },
    /// Both have it, and not the same.
    Differs { kind: String, id: String, ledger: String, stripe: String },
}

/// A day, compared.
#[derive(Debug, Serialize)]
pub struct Reconciled {
    /// Objects that both sides have.
    pub agreed: usize,
    pub differences: Vec<Difference>,
}

/// Kinds that are objects of their own; captures and cancels change a payment that is there.
const LISTS: [(&str, &str); 4] = [
    ("payment", "/v1/payment_intents"),
    ("refund", "/v1/refunds"),
    ("payout", "/v1/payouts"),
    ("transfer", "/v1/transfers"),
];
/// Stripe's clock and ours may differ by this much: what lies so near the day's edge is looked up in both.
const EDGE: TimeDelta = TimeDelta::minutes(10);
const MAX_PAGES: usize = 1_000;

struct Shown {
    kind: &'static str,
    amount: i64,
    currency: String,
    created: DateTime<Utc>,
    effect: Option<String>,
    profile: String,
    /// Money moved, or is on its way.
    counts: bool,
}

/// What Stripe shows of a day, by id.
pub struct Day {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    shown: BTreeMap<String, Shown>,
}

impl Day {
    /// The effects that Stripe's objects carry: their lines belong to the comparison whenever they were written, since
    /// what was in doubt is written down late.
    pub fn effects(&self) -> Vec<Uuid> {
        self.shown.values().filter_map(|object| object.effect.as_ref()?.parse().ok()).collect()
    }
}

impl Stripe {
    /// All that Stripe shows of `[from, to)`, on the profiles' accounts and those that the ledger's lines name.
    pub async fn day(&self, from: DateTime<Utc>, to: DateTime<Utc>, ledger: &[Written]) -> Result<Day, String> {
        let mut shown = BTreeMap::new();
        for account in &self.accounts {
            let mut on: BTreeSet<Option<&str>> = BTreeSet::from([account.account.as_deref()]);
            let ours = ledger.iter().filter(|line| line.profile == account.profile);
            on.extend(ours.map(|line| line.account.as_deref()));
            for on in on {
                for (kind, path) in LISTS {
                    account.list(kind, path, (from - EDGE, to + EDGE), on, &mut shown).await?;
                }
            }
        }
        Ok(Day { from, to, shown })
    }

    /// Compares it with the ledger's lines of that time, and of the effects that it names.
    pub async fn reconcile(&self, mut day: Day, ledger: &[Written]) -> Result<Reconciled, String> {
        // A line of the day whose object was made on another one.
        let missing: Vec<_> = ledger
            .iter()
            .filter(|line| line.at >= day.from && line.at < day.to && !day.shown.contains_key(&line.provider_id))
            .collect();
        for line in missing {
            let path = LISTS.iter().find(|(kind, _)| *kind == line.kind);
            let account = self.accounts.iter().find(|account| account.profile == line.profile);
            let (Some((kind, path)), Some(account)) = (path, account) else { continue };
            let path = format!("{path}/{}", line.provider_id);
            let reply = account.get(&path, &[], line.account.as_deref()).await?;
            if let Some(object) = account.shown(kind, &reply.body).filter(|_| reply.status.is_success()) {
                day.shown.insert(line.provider_id.clone(), object);
            }
        }
        Ok(compare(day.from, day.to, ledger, &day.shown))
    }
}

fn compare(from: DateTime<Utc>, to: DateTime<Utc>, ledger: &[Written], shown: &BTreeMap<String, Shown>) -> Reconciled {
    let mut done = Reconciled { agreed: 0, differences: Vec::new() };
    let made = |line: &&Written| LISTS.iter().any(|(kind, _)| *kind == line.kind);
    let lines: BTreeMap<&str, &Written> =
        ledger.iter().filter(made).map(|line| (line.provider_id.as_str(), line)).collect();
    for (id, object) in shown {
        match lines.get(id.as_str()) {
            Some(line) if (line.amount, line.currency.as_str()) != (object.amount, object.currency.as_str()) => {
                done.differences.push(Difference::Differs {
                    kind: line.kind.clone(),
                    id: id.clone(),
                    ledger: format!("{} {}", line.amount, line.currency),
                    stripe: format!("{} {}", object.amount, object.currency),
                });
            }
            Some(_) => done.agreed += 1,
            None if object.counts && object.created >= from && object.created < to => {
                done.differences.push(Difference::AtStripe {
                    kind: object.kind,
                    id: id.clone(),
                    amount: object.amount,
                    currency: object.currency.clone(),
                    profile: object.profile.clone(),
                    effect: object.effect.clone(),
                });
            }
            None => {}
        }
    }
    for line in lines.values().filter(|line| line.at >= from && line.at < to && !shown.contains_key(&line.provider_id))
    {
        done.differences.push(Difference::InLedger {
            kind: line.kind.clone(),
            id: line.provider_id.clone(),
            amount: line.amount,
            currency: line.currency.clone(),
            profile: line.profile.clone(),
            effect: line.effect_id.to_string(),
        });
    }
    done
}

impl Account {
    async fn list(
        &self,
        kind: &'static str,
        path: &str,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        on: Option<&str>,
        into: &mut BTreeMap<String, Shown>,
    ) -> Result<(), String> {
        let failed = |what: String| format!("stripe.profiles.{}: {path}: {what}", self.profile);
        let (from, to) = (from.timestamp().to_string(), to.timestamp().to_string());
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = vec![("created[gte]", from.as_str()), ("created[lt]", to.as_str()), ("limit", "100")];
            query.extend(after.as_deref().map(|id| ("starting_after", id)));
            let reply = self.get(path, &query, on).await.map_err(failed)?;
            // A server that has no such thing, such as transfers.
            if reply.status.as_u16() == 404 {
                tracing::warn!(profile = %self.profile, path, "there is no such list; it is left out");
                return Ok(());
            }
            if !reply.status.is_success() {
                return Err(failed(format!("Stripe answered {}", reply.status)));
            }
            let items = reply.body["data"].as_array().ok_or_else(|| failed("the list is none".to_owned()))?;
            for item in items {
                let (Some(id), Some(object)) = (item["id"].as_str(), self.shown(kind, item)) else {
                    return Err(failed("an object of the list is none".to_owned()));
                };
                into.insert(id.to_owned(), object);
            }
            after = items.last().and_then(|item| item["id"].as_str()).map(str::to_owned);
            if reply.body["has_more"] != true || after.is_none() {
                return Ok(());
            }
        }
        Err(failed("the list is too long".to_owned()))
    }

    fn shown(&self, kind: &'static str, item: &Value) -> Option<Shown> {
        let status = item["status"].as_str().unwrap_or("created");
        Some(Shown {
            kind,
            amount: item["amount"].as_i64()?,
            currency: item["currency"].as_str()?.to_owned(),
            created: DateTime::from_timestamp(item["created"].as_i64()?, 0)?,
            effect: item["metadata"][EFFECT].as_str().map(str::to_owned),
            profile: self.profile.clone(),
            counts: match kind {
                "payment" => matches!(status, "succeeded" | "processing" | "requires_capture"),
                _ => !matches!(status, "failed" | "canceled"),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_750_000_000 + minute * 60, 0).expect("a time")
    }

    fn line(id: &str, amount: i64, minute: i64) -> Written {
        Written {
            at: at(minute),
            tenant: "t1".to_owned(),
            job_id: Uuid::nil(),
            seq: 0,
            effect_id: Uuid::nil(),
            provider: "stripe".to_owned(),
            profile: "main".to_owned(),
            account: None,
            kind: "payment".to_owned(),
            provider_id: id.to_owned(),
            amount,
            currency: "eur".to_owned(),
            status: "succeeded".to_owned(),
            source: "answer".to_owned(),
        }
    }

    fn object(amount: i64, minute: i64, counts: bool) -> Shown {
        Shown {
            kind: "payment",
            amount,
            currency: "eur".to_owned(),
            created: at(minute),
            effect: None,
            profile: "main".to_owned(),
            counts,
        }
    }

    #[test]
    fn only_what_one_side_has_is_named() {
        let shown = BTreeMap::from([
            ("pi_both".to_owned(), object(5, 10, true)),
            ("pi_outside".to_owned(), object(6, 11, true)),
            ("pi_open".to_owned(), object(7, 12, false)),
            ("pi_other".to_owned(), object(8, 13, true)),
            ("pi_before".to_owned(), object(9, -1, true)),
        ]);
        let lines = [line("pi_both", 5, 10), line("pi_gone", 1, 20), line("pi_other", 80, 13), line("pi_late", 1, 61)];
        let done = compare(at(0), at(60), &lines, &shown);
        assert_eq!(done.agreed, 1);
        let named: Vec<_> = done
            .differences
            .iter()
            .map(|difference| match difference {
                Difference::AtStripe { id, .. } => ("stripe", id.as_str()),
                Difference::InLedger { id, .. } => ("ledger", id.as_str()),
                Difference::Differs { id, .. } => ("differs", id.as_str()),
            })
            .collect();
        assert_eq!(named, [("differs", "pi_other"), ("stripe", "pi_outside"), ("ledger", "pi_gone")]);
    }
}
