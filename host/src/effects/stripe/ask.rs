use chrono::TimeDelta;
use serde_json::Value;

use super::{Call, EFFECT, What, answer};
use crate::{
    effects::{Asked, CallEnd, Sent},
    ids::EffectId,
    journal::{Answer, Rejection},
};

/// Stripe's clock and Postgres's may differ by this much.
const SKEW: TimeDelta = TimeDelta::minutes(10);
/// Pages of 100 that are looked through.
const MAX_PAGES: usize = 30;

impl Call {
    /// Looks for what the call would have made: by its mark where there is a list, by its state where there is not.
    /// (Search lags, and knows no refunds, payouts and transfers.)
    pub(super) async fn ask(&self, id: EffectId, sent: Sent) -> Asked {
        let since = (sent.first - SKEW).timestamp().to_string();
        // Stripe may have taken its time, and a frozen sender its own.
        let until = (sent.last + SKEW + SKEW).timestamp().to_string();
        let window = [("created[gte]", since.as_str()), ("created[lte]", until.as_str())];
        match &self.what {
            What::Get { .. } => Asked::Absent,
            What::Capture { id } => self.state(id, &["succeeded"]).await,
            What::Cancel { id } => self.state(id, &["canceled"]).await,
            What::Payment { .. } => {
                let customer = self.form.iter().find(|(name, _)| name == "customer");
                let mut query = window.to_vec();
                query.extend(customer.map(|(_, id)| ("customer", id.as_str())));
                self.look("/v1/payment_intents", &query, id).await
            }
            What::Refund { payment_intent } => {
                self.look("/v1/refunds", &[("payment_intent", payment_intent.as_str())], id).await
            }
            What::Payout => self.look("/v1/payouts", &window, id).await,
            What::Transfer { group } => {
                let mut query = window.to_vec();
                query.extend(group.as_deref().map(|group| ("transfer_group", group)));
                self.look("/v1/transfers", &query, id).await
            }
        }
    }

    async fn look(&self, path: &str, query: &[(&str, &str)], id: EffectId) -> Asked {
        let mark = id.to_string();
        let mut hits = Vec::new();
        let (mut after, mut is_whole): (Option<String>, bool) = (None, false);
        for _ in 0..MAX_PAGES {
            let mut query = query.to_vec();
            query.push(("limit", "100"));
            query.extend(after.as_deref().map(|id| ("starting_after", id)));
            let page = match self.get(path, &query).await {
                Ok(page) => page,
                Err(asked) => return asked,
            };
            let Some(items) = page["data"].as_array() else {
                return Asked::Unclear(format!("Stripe's list {path} is none"));
            };
            hits.extend(items.iter().filter(|item| item["metadata"][EFFECT] == mark.as_str()).cloned());
            after = items.last().and_then(|item| item["id"].as_str()).map(str::to_owned);
            if page["has_more"] != true || after.is_none() {
                is_whole = true;
                break;
            }
        }
        if !is_whole {
            // A busy account. While Stripe knows the key, a repeat under it does no harm; after that the gate asks a person.
            tracing::warn!(path, effect.id = mark, "Stripe's list is too long to be looked through: the key protects");
        }
        match hits.as_slice() {
            [] => Asked::Absent,
            [one] => self.found(one),
            many => Asked::Unclear(format!("Stripe shows {} objects made by this one effect", many.len())),
        }
    }

    /// For calls that change what is there already.
    async fn state(&self, id: &str, done: &[&str]) -> Asked {
        match self.get(&format!("/v1/payment_intents/{id}"), &[]).await {
            Ok(object) if object["id"] != id => {
                Asked::NotNow { message: "Stripe does not show the payment".to_owned(), after: None }
            }
            // Another tenant's: the call would have been refused, and will be.
            Ok(object) if !self.is_ours(&object) => Asked::Absent,
            Ok(object) if object["status"].as_str().is_some_and(|status| done.contains(&status)) => self.found(&object),
            Ok(_) => Asked::Absent,
            Err(asked) => asked,
        }
    }

    fn found(&self, object: &Value) -> Asked {
        // Made and declined in one call: Stripe keeps the intent, and its answer was the decline.
        let error = &object["last_payment_error"];
        if matches!(self.what, What::Payment { confirm: true })
            && object["status"] == "requires_payment_method"
            && error.is_object()
        {
            let text = |field: &str| error[field].as_str();
            return Asked::Answer(Answer::Rejected(Rejection {
                code: text("decline_code").or(text("code")).unwrap_or("card_declined").to_owned(),
                message: text("message").unwrap_or_default().chars().take(500).collect(),
                status: Some(402),
            }));
        }
        match answer::outcome(&self.what, object) {
            Some(value) => Asked::Answer(Answer::Ok(value)),
            None => Asked::Unclear("what Stripe shows is not what was asked for".to_owned()),
        }
    }

    /// A question: nothing of it changes anything.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Asked> {
        let read = What::Get { id: String::new() };
        let reply = match self.account.get(path, query, self.on.as_deref()).await {
            Ok(reply) => reply,
            Err(message) => return Err(Asked::NotNow { message, after: None }),
        };
        if reply.status.is_success() {
            return Ok(reply.body);
        }
        Err(match answer::meaning(&read, reply) {
            CallEnd::Answer(Answer::Rejected(no)) => {
                Asked::Unclear(format!("Stripe refuses the question: {} {}", no.code, no.message))
            }
            CallEnd::Transient { message, retry_after } => Asked::NotNow { message, after: retry_after },
            CallEnd::Unreachable(message) => Asked::NotNow { message, after: None },
            CallEnd::Answer(_) | CallEnd::Doubt { .. } | CallEnd::Unknown(_) => {
                Asked::NotNow { message: "Stripe's answer is none".to_owned(), after: None }
            }
        })
    }
}
