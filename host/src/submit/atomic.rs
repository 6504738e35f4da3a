use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{
    Accepted, Enqueued, PreparedJob, SubmitError,
    batch::{LOCK_TIMEOUT, PATIENCE, tell},
    commit,
};
use crate::{
    db::{Fault, Pool, is_lock_timeout},
    ids::Tier,
    queue::{Bell, Lanes},
    telemetry::metrics::Histogram,
};

/// Atomic batches under way at once: each may hold locks in all tiers.
const TURNS: usize = 2;
/// How often one is begun where another transaction was in its way.
const TRIES: usize = 3;

/// Why nothing of an atomic batch was written.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// By their places in the batch.
    #[error("some jobs of the batch are refused")]
    Refused(Vec<(usize, SubmitError)>),
    /// No job of it is to blame. Where the connection was lost with the commit, all of it may be written.
    #[error(transparent)]
    Failed(#[from] SubmitError),
}

/// Commits all jobs of a batch or none, over tiers.
#[derive(Clone)]
pub(super) struct Atomic {
    pool: Pool,
    bell: Bell,
    lanes: Lanes,
    /// Of the commits.
    sizes: Histogram,
    turns: Arc<Semaphore>,
}

impl Atomic {
    pub fn new(pool: &Pool, bell: &Bell, lanes: &Lanes, sizes: &Histogram) -> Self {
        let (pool, bell, lanes, sizes) = (pool.clone(), bell.clone(), lanes.clone(), sizes.clone());
        Self { pool, bell, lanes, sizes, turns: Arc::new(Semaphore::new(TURNS)) }
    }

    pub async fn submit(&self, jobs: &[PreparedJob]) -> Result<Vec<Accepted>, Undone> {
        let Ok(_turn) = tokio::time::timeout(PATIENCE, self.turns.acquire()).await else {
            return Err(SubmitError::Busy.into());
        };
        self.sizes.observe(jobs.len() as f64);
        let mut failed = SubmitError::Busy;
        for _ in 0..TRIES {
            match self.commit(jobs).await {
                Ok(done) => match all(done.results) {
                    Ok(accepted) => {
                        let new = jobs.iter().zip(&accepted).filter(|(_, one)| matches!(one, Accepted::New(_)));
                        tell(&self.bell, &done.ready, new.map(|(job, _)| job));
                        return Ok(accepted);
                    }
                    // A key changed hands under our eyes.
                    Err(Undone::Failed(error)) => failed = error,
                    Err(refused) => return Err(refused),
                },
                Err(error) => {
                    let is_in_the_way = Fault::of(&error) == Fault::Again || is_lock_timeout(&error);
                    failed = SubmitError::Unavailable(Some(error));
                    if !is_in_the_way {
                        break;
                    }
                }
            }
        }
        if let SubmitError::Unavailable(Some(error)) = &failed {
            tracing::error!(error = %error, jobs = jobs.len(), "an atomic batch could not be committed");
        }
        Err(failed.into())
    }

    /// One transaction, as durable as the strictest tier in it. What it says is committed only if no job is refused.
    async fn commit(&self, jobs: &[PreparedJob]) -> sqlx::Result<Enqueued> {
        // Tiers are in the order of what they promise.
        let strictest = jobs.iter().map(PreparedJob::tier).min().unwrap_or(Tier::Money);
        let mut tx = self.pool.begin_for(strictest, LOCK_TIMEOUT).await?;
        let mut results: Vec<_> = jobs.iter().map(|_| Err(SubmitError::Busy)).collect();
        let mut ready = Vec::new();
        // One order of tiers for all such batches, so that they do not deadlock.
        for tier in Tier::ALL {
            let (places, of_tier): (Vec<_>, Vec<_>) =
                jobs.iter().enumerate().filter(|(_, job)| job.tier() == tier).unzip();
            if of_tier.is_empty() {
                continue;
            }
            let done = commit::enqueue(&mut tx, tier, &of_tier, &self.lanes).await?;
            ready.extend(done.ready);
            for (place, result) in places.into_iter().zip(done.results) {
                results[place] = result;
            }
        }
        if results.iter().all(Result::is_ok) {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(Enqueued { results, ready })
    }
}

/// All of them, or which are refused.
fn all(results: Vec<Result<Accepted, SubmitError>>) -> Result<Vec<Accepted>, Undone> {
    let mut accepted = Vec::with_capacity(results.len());
    let mut refused = Vec::new();
    for (place, result) in results.into_iter().enumerate() {
        match result {
            Ok(one) => accepted.push(one),
            Err(error @ (SubmitError::Busy | SubmitError::Unavailable(_))) => return Err(Undone::Failed(error)),
            Err(error) => refused.push((place, error)),
        }
    }
    if refused.is_empty() { Ok(accepted) } else { Err(Undone::Refused(refused)) }
}
