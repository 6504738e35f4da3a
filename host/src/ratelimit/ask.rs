use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{
    Bucket,
    limiter::Shared,
    store::{self, Calls},
    terms::Terms,
};
use crate::{clock::Boottime, ids::EffectId};

/// Most calls of one statement.
const BATCH: usize = 256;

/// A call that needs more than this node has.
pub(super) struct Ask {
    pub effect: EffectId,
    pub buckets: Vec<(Bucket, Terms)>,
    pub answer: oneshot::Sender<sqlx::Result<Verdict>>,
}

/// What a call is told: that it passes after a short wait, or when to come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub goes: bool,
    pub wait: Duration,
}

/// Asks for all calls of this node. There is no timer: a statement is for the calls that came while the last one ran.
pub(super) async fn run(shared: Arc<Shared>, mut asks: mpsc::Receiver<Ask>) {
    let mut batch = Vec::with_capacity(BATCH);
    while asks.recv_many(&mut batch, BATCH).await > 0 {
        // Whoever went away needs no token.
        batch.retain(|ask| !ask.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        match ask(&shared, &batch).await {
            Ok((verdicts, version)) => {
                for (ask, verdict) in batch.drain(..).zip(verdicts) {
                    let _ = ask.answer.send(Ok(verdict));
                }
                if shared.state().book.version() < version
                    && let Err(error) = shared.refresh().await
                {
                    tracing::warn!(error = %error, "changed rate limits could not be read; they are with the next call");
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, calls = batch.len(), "rate limits could not be asked");
                // One of them gets the error itself, which can't be copied.
                let mut error = Some(error);
                for ask in batch.drain(..) {
                    let error = error.take().unwrap_or_else(|| sqlx::Error::Protocol("asked with others".to_owned()));
                    let _ = ask.answer.send(Err(error));
                }
            }
        }
    }
}

async fn ask(shared: &Shared, batch: &[Ask]) -> sqlx::Result<(Vec<Verdict>, i64)> {
    let (calls, terms) = calls(shared, batch);
    // Before it is asked: what is ahead dies early rather than late.
    let asked = Boottime::now();
    let mut db = shared.pool.write().await?;
    let taken = store::take(&mut db, &calls, shared.patience).await?;
    db.done().await?;
    let mut state = shared.state();
    for ((bucket, terms), tokens) in terms.iter().zip(&taken.tokens) {
        if let Some(tokens) = u32::try_from(*tokens).ok().filter(|tokens| *tokens > 0) {
            state.pots.fill(bucket, tokens, asked.plus(terms.life()));
        }
    }
    let verdicts = taken
        .goes
        .iter()
        .zip(&taken.waits)
        .map(|(goes, wait)| Verdict { goes: *goes, wait: Duration::try_from_secs_f64(*wait).unwrap_or(Duration::MAX) });
    Ok((verdicts.collect(), taken.version))
}

/// Each bucket once, in the order of its name, and each call with the places of its buckets.
fn calls(shared: &Shared, batch: &[Ask]) -> (Calls, BTreeMap<Bucket, Terms>) {
    let terms: BTreeMap<_, _> = batch.iter().flat_map(|ask| ask.buckets.iter().cloned()).collect();
    let mut calls = Calls::default();
    let state = shared.state();
    for (bucket, terms) in &terms {
        calls.buckets.push(bucket.as_str().to_owned());
        calls.rates.push(terms.rate);
        calls.bursts.push(terms.burst().cast_signed());
        calls.wants.push(state.pots.wanted(bucket).min(terms.ahead()).cast_signed());
    }
    for (ask, n) in batch.iter().zip(1..) {
        calls.effects.push(ask.effect.0);
        for (bucket, _) in &ask.buckets {
            if let Some(place) = terms.keys().zip(1..).find_map(|(known, place)| (known == bucket).then_some(place)) {
                calls.of_effect.push(n);
                calls.of_bucket.push(place);
            }
        }
    }
    (calls, terms)
}
