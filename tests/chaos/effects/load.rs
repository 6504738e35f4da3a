//! The stream of submits: each job follows from the seed and its number.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::task::JoinSet;

use super::{
    plan::{Done, Plan},
    rig::{Accepted, Account, Rig},
};
use crate::{
    load::accepted,
    rng::Rng,
    support::{stripe::id, token},
};

/// Submits a second, if nothing else is said: Stripe World answers one request after another, in about 10 ms.
const RATE: u64 = 6;

/// Returns when all are sent; what is not acknowledged yet goes on in the set.
pub async fn run(rig: Arc<Rig>) -> JoinSet<()> {
    let (options, began) = (rig.options, Instant::now());
    let mut tasks = JoinSet::new();
    for n in 0..options.jobs.unwrap_or(u64::MAX) {
        let due = began + Duration::from_micros(n * 1_000_000 / options.rate.unwrap_or(RATE).max(1));
        tokio::time::sleep_until(due.into()).await;
        if began.elapsed() >= Duration::from_secs(options.seconds) {
            break;
        }
        let rig = Arc::clone(&rig);
        tasks.spawn(async move { submit(&rig, Plan::new(rig.options.seed, n)).await });
        while tasks.try_join_next().is_some() {}
    }
    tasks
}

async fn submit(rig: &Rig, plan: Plan) {
    let account = &rig.accounts[plan.account];
    let payment = match plan.needs() {
        Some(done) => Some(payment(account, done, &plan.key).await),
        None => None,
    };
    let mut rng = Rng::fork(rig.options.seed, plan.n.wrapping_mul(2));
    let payload = plan.payload(account, payment.as_deref());
    let body = json!({"type": plan.job_type(), "payload": payload, "metadata": {"order": plan.key}}).to_string();
    let (sent, token) = (Instant::now(), token("user", Some(&account.tenant)));
    match accepted(&rig.hosts, &rig.http, &token, &plan.key, &body, &mut rng).await {
        Ok((id, _)) => {
            let accepted = Accepted { plan, id, sent, answered: Instant::now() };
            rig.accepted.lock().unwrap().push(accepted);
        }
        Err(why) => rig.refused.lock().unwrap().push(format!("{}: {why}", plan.key)),
    }
}

/// Made past all faults, as by somebody else: a payment to be refunded, or one that is held, to be captured or cancelled.
async fn payment(account: &Account, done: Done, key: &str) -> String {
    let capture = if done == Done::Refund { "automatic" } else { "manual" };
    let fields = [
        ("amount", "900"),
        ("currency", "eur"),
        ("payment_method", account.card.as_str()),
        ("confirm", "true"),
        ("capture_method", capture),
        ("metadata[beforehand]", key),
    ];
    id(&account.stripe.create("/v1/payment_intents", &fields).await)
}
