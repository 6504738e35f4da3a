use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Worker,
    classify::{self, Outcome},
    settle::Settlers,
    slots::Slot,
};
use crate::{
    effects::Attempt,
    journal::Recorded,
    queue::Claimed,
    runtime::{JobInput, Release},
};

/// A job that took this many nodes down with it is not run again.
const MAX_REAPS: i32 = 5;
/// Once the grace is over, a provider call under way gets this long to be journaled.
const LAST_WORD: Duration = Duration::from_secs(5);

/// One claimed job, from its lease to its settlement. The slot is held until the settlement is committed.
pub(super) async fn run(worker: Arc<Worker>, settlers: Settlers, job: Claimed, slot: Slot, journal: Vec<Recorded>) {
    let outcome = outcome(&worker, &job, journal).await;
    if let Some(settled) = classify::settled(&worker.queues, job, outcome) {
        settlers.settle(settled).await;
    }
    drop(slot);
}

async fn outcome(worker: &Worker, job: &Claimed, journal: Vec<Recorded>) -> Outcome {
    if job.reaps >= MAX_REAPS {
        return Outcome::Poison;
    }
    if job.expired && !journal.iter().any(Recorded::may_have_happened) {
        return Outcome::Expired;
    }
    let release = match resolve(worker, job, &journal).await {
        Ok(release) => release,
        Err(message) => return Outcome::NoRelease { message },
    };
    let Some(job_type) = release.job_type(&job.job_type) else {
        return Outcome::NoRelease { message: format!("release {} does not own this job type", release.digest) };
    };

    let attempt = Attempt::new(
        job.id,
        job.tier,
        job.lease,
        release.digest,
        Arc::clone(&release.grants),
        job_type.limits.effects,
        journal,
    );
    let input = JobInput {
        id: job.id,
        job_type: job.job_type.clone(),
        tenant: job.tenant.clone(),
        subject: job.subject.clone(),
        payload: job.payload.clone(),
        attempt: job.attempt.cast_unsigned(),
        max_attempts: job.max_attempts.cast_unsigned(),
    };
    let cancel = CancellationToken::new();
    let guest = worker.runtime.run(&release, input, Arc::clone(&attempt), cancel.clone());
    tokio::pin!(guest);
    let ended = tokio::select! {
        ended = &mut guest => ended,
        () = worker.lifecycle.ended() => {
            cancel.cancel();
            guest.await
        }
    };
    // The guest may be gone (time-out, shutdown) while its last call is still out; nobody settles before it is journaled.
    let patience = if worker.lifecycle.is_stopping() { LAST_WORD } else { Duration::from_secs(600) };
    attempt.quiet(patience).await;
    Outcome::Ran { release: release.digest, ended }
}

/// A job that journaled an effect stays on its release. Otherwise the active one runs it if it accepts the payload,
/// else the one that accepted it at submit.
async fn resolve(worker: &Worker, job: &Claimed, journal: &[Recorded]) -> Result<Arc<Release>, String> {
    if let Some(pinned) = journal.first() {
        return worker.registry.by_digest(&worker.pool, pinned.release).await;
    }
    let active = worker.registry.resolve(&job.job_type).ok_or("no release serves this job type on this node")?;
    match job.accepted_by {
        Some(accepted) if accepted != active.digest && !active.accepts(&job.job_type, &job.payload) => {
            worker.registry.by_digest(&worker.pool, accepted).await
        }
        _ => Ok(active),
    }
}
