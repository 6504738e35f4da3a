use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};

use super::{
    Worker,
    classify::{self, Outcome},
    settle::{Pending, Settlers},
    slots::Slot,
};
use crate::{
    effects::{Attempt, Held, OnBehalf, Stop},
    ids::{Digest, Tier},
    journal::{Class, EffectState, Recorded, store::Journal},
    queue::Claimed,
    releases::{Usage, store::StoreError},
    runtime::{Ended, JobInput, PublishError, Release, TrapKind, Verdict},
    telemetry::metrics::OfType,
};

/// A job that took this many nodes down with it is not run again.
const MAX_REAPS: i32 = 5;
/// Once the grace is over, a provider call under way gets this long to be journaled.
const LAST_WORD: Duration = Duration::from_secs(5);
/// Settlements that are handed over together.
const HANDFUL: usize = 64;

/// A claimed job, with its place on this node and what it did before.
pub(super) struct Taken {
    pub job: Claimed,
    pub slot: Slot,
    pub journal: Journal,
}

/// Some jobs of one claim, from their lease to their settlement, in one task of the guests' threads. A guest that
/// waits stands in nobody's way; those that end together are settled together.
pub(super) async fn run(worker: Arc<Worker>, settlers: Settlers, tier: Tier, jobs: Vec<Taken>) {
    let running: FuturesUnordered<_> = jobs.into_iter().map(|taken| one(&worker, taken)).collect();
    let mut ended = running.ready_chunks(HANDFUL);
    while let Some(ended) = ended.next().await {
        let pending: Vec<_> = ended.into_iter().flatten().collect();
        if !pending.is_empty() {
            settlers.settle(tier, pending).await;
        }
    }
}

/// `None`: the job is not ours any more.
async fn one(worker: &Worker, mut taken: Taken) -> Option<Pending> {
    let id = taken.job.id;
    // A job that is to end does not wait.
    let cancelled = taken.slot.cancelled();
    let _turn = tokio::select! {
        biased;
        turn = worker.running.turn(&taken.job.job_type) => turn,
        () = cancelled.cancelled() => None,
    };
    let journal = std::mem::replace(&mut taken.journal, Ok(Vec::new()));
    let mut journaled = journal.as_ref().map_or(true, |rows| !rows.is_empty());
    let in_doubt = journal.as_ref().is_ok_and(|rows| rows.iter().any(Recorded::is_open_doubt));
    let counted = worker.metrics.of_type(&taken.job.job_type);
    // A fault of ours inside one job must not take along those that run beside it.
    let outcome = AssertUnwindSafe(outcome(worker, &mut taken.job, &taken.slot, journal, &mut journaled, &counted))
        .catch_unwind();
    let outcome = outcome.await.unwrap_or_else(|_| {
        tracing::error!(job.id = %id, "the host failed while it ran a job");
        Outcome::HostFailed
    });
    // How far a failed one came is not known; its journal, if there is one, must come along.
    journaled |= matches!(outcome, Outcome::HostFailed);
    let settled = classify::settled(&worker.queues, taken.job, outcome, journaled, in_doubt, taken.slot.cancel_asked());
    counted.ended(classify::as_counted(settled.as_ref()));
    Some(Pending { settled: settled?, slot: taken.slot })
}

async fn outcome(
    worker: &Worker,
    job: &mut Claimed,
    slot: &Slot,
    journal: Journal,
    journaled: &mut bool,
    counted: &OfType,
) -> Outcome {
    let journal = match journal {
        Ok(journal) => journal,
        Err(what) => return Outcome::Unreadable { what },
    };
    let is_ending = job.cancel_requested;
    if is_ending {
        match cancelled(&journal) {
            // What became of it is asked before anybody is: by the guest's own way to it, on which no other effect begins.
            Outcome::CancelInDoubt if can_be_asked(&journal) => {}
            outcome => return outcome,
        }
    }
    if job.reaps >= MAX_REAPS {
        return Outcome::Poison;
    }
    if job.expired && !journal.iter().any(Recorded::may_have_happened) {
        return Outcome::Expired;
    }
    let release = match resolve(worker, job, &journal).await {
        Ok(release) => release,
        // Its release was stopped after the claim. Back at once, and not claimed here again; but one that is to end is
        // claimed whatever serves, and would come back at once for ever.
        Err(_) if !job.expired && !is_ending && worker.registry.unserved().contains(&job.job_type) => {
            return Outcome::Unserved;
        }
        Err(message) => return Outcome::NoRelease { message },
    };
    let Some(job_type) = release.job_type(&job.job_type) else {
        return Outcome::NoRelease { message: format!("release {} does not own this job type", release.digest) };
    };

    let is_displaced = held(job, &journal).is_some_and(|held| held != release.digest);
    let who = OnBehalf {
        job: job.id,
        grants: Arc::clone(&release.grants),
        tenant: job.tenant.clone(),
        venue: worker.runtime.venue(&job.payload),
    };
    let attempt = Attempt::new(
        Held { job: job.id, tier: job.tier, lease: job.lease, generation: job.generation.cast_unsigned(), is_ending },
        release.digest,
        who,
        job_type.limits.effects,
        journal,
    );
    let input = JobInput {
        id: job.id,
        job_type: job.job_type.clone(),
        tenant: job.tenant.clone(),
        subject: std::mem::take(&mut job.subject),
        payload: std::mem::take(&mut job.payload),
        attempt: job.attempt.cast_unsigned(),
        max_attempts: job.max_attempts.cast_unsigned(),
    };
    let began = Instant::now();
    // Boxed: what a guest's call needs is large, and this future is moved about with the others of its claim.
    let ended: Ended = Box::pin(worker.runtime.run(&release, input, Arc::clone(&attempt), slot.cancelled())).await;
    counted.ran(began.elapsed());
    worker.metrics.used(&release.manifest.name, ended.cpu, ended.peak_memory);
    // A call that is under way when the time is over waits for its provider: that is no fault of the code.
    let trapped = match &ended.verdict {
        Verdict::Trapped { kind: TrapKind::WallLimit, .. } => !attempt.is_calling(),
        Verdict::Trapped { .. } => true,
        _ => false,
    };
    // A node that stood still, or that lost its database, finds all its guests' time over at once: that says nothing of them.
    let stopped = if worker.pulse.is_fresh() {
        worker.registry.ended(&release, job.id, &job.tenant, trapped)
    } else {
        worker.registry.is_barred(release.digest)
    };
    let forgiven = stopped && trapped;
    let failed = !matches!(ended.verdict, Verdict::Completed(_));
    let used = Usage::attempt(failed, ended.cpu, ended.peak_memory, attempt.effects(), ended.log_bytes);
    worker.registry.meter.add(&release.manifest.name, &job.tenant, used);
    if attempt.has_effects() {
        *journaled = true;
        // The guest may be gone (time-out, cancel, shutdown) while its last call is still out; nobody settles before it
        // is journaled.
        let patience = if worker.lifecycle.is_stopping() { LAST_WORD } else { Duration::from_secs(600) };
        attempt.quiet(patience).await;
    }
    // Not the job's fault either: it waits for a release that goes on where the one in quarantine left off. But what is in
    // doubt is for a person then.
    if is_displaced
        && !attempt.is_in_doubt()
        && let Verdict::Stopped(Stop::Nondeterministic { message }) = &ended.verdict
    {
        let message = format!("its release is in quarantine, and the one that serves asks otherwise: {message}");
        return Outcome::NoRelease { message };
    }
    let base_ms = attempt.base_ms();
    Outcome::Ran { release: release.digest, ended, base_ms, in_doubt: attempt.is_in_doubt(), forgiven }
}

/// The release that a job stays on.
fn held(job: &Claimed, journal: &[Recorded]) -> Option<Digest> {
    job.pinned.or_else(|| journal.first().map(|first| first.release))
}

/// A cancelled job ends here, unless one of its effects is in doubt: then a person must say first what happened, and not
/// before its sender is surely gone.
fn cancelled(journal: &[Recorded]) -> Outcome {
    let alive = journal
        .iter()
        .filter(|row| row.state == EffectState::Started && row.class != Class::Read && !row.settle_in.is_zero());
    match (alive.map(|row| row.settle_in).max(), journal.iter().any(Recorded::is_open_doubt)) {
        (Some(wait), _) => Outcome::CancelWaits { wait },
        (None, false) => Outcome::Cancelled,
        (None, true) => Outcome::CancelInDoubt,
    }
}

fn can_be_asked(journal: &[Recorded]) -> bool {
    journal.iter().filter(|row| row.is_open_doubt()).all(|row| row.class == Class::Asked)
}

/// A redrive runs what it chose. A job that journaled an effect stays on its release. Otherwise the active one runs it if
/// it accepts the payload, else the one that accepted it at submit; so does that one where what serves does not name the
/// type any more. Nobody is held to a release in quarantine: its jobs run on the active one, as a redrive would.
async fn resolve(worker: &Worker, job: &Claimed, journal: &[Recorded]) -> Result<Arc<Release>, String> {
    let registry = &worker.registry;
    if let Some(held) = held(job, journal).filter(|held| !registry.is_barred(*held)) {
        return load(worker, held).await;
    }
    let Some(active) = registry.resolve(&job.job_type) else {
        // A type that is to be served waits for that: it is not served here, or its release is in quarantine.
        return match job.accepted_by.filter(|_| !registry.unserved().contains(&job.job_type)) {
            Some(accepted) if registry.is_barred(accepted) => {
                Err(format!("only release {accepted} names this job type, and it is in quarantine"))
            }
            Some(accepted) => load(worker, accepted).await,
            None => Err("no release serves this job type on this node".to_owned()),
        };
    };
    match job.accepted_by {
        Some(accepted) if accepted != active.digest && !active.accepts(&job.job_type, &job.payload) => {
            if registry.is_barred(accepted) {
                return Err(format!("only release {accepted} accepts this payload, and it is in quarantine"));
            }
            load(worker, accepted).await
        }
        _ => Ok(active),
    }
}

async fn load(worker: &Worker, digest: Digest) -> Result<Arc<Release>, String> {
    worker.registry.by_digest(&worker.pool, digest).await.map_err(|error| match error {
        // A job's errors are for its tenant, and no place for the database's words.
        PublishError::Store(StoreError::Database(error)) => {
            tracing::warn!(error = %error, plugin.digest = %digest, "a release could not be read");
            format!("release {digest} could not be read")
        }
        error => format!("release {digest}: {}", error.told()),
    })
}
