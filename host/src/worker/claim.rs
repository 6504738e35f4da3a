use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Worker,
    run::{self, Taken},
    settle::Settlers,
};
use crate::{
    config::Queue,
    ids::Tier,
    journal,
    queue::{self, Claimed, Cursors, Look},
};

/// After a database error the claimer waits this long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that a small claim waits for more free slots.
const MOMENT: Duration = Duration::from_millis(5);
/// Jobs that share a task: few enough that they spread over the guests' threads, many enough that a task's wake-up is
/// not paid for each.
const CHUNK: usize = 32;

/// Claims for the free slots whenever the bell rings, and again while the last batch still runs. Ends when the host
/// stops and all slots are free.
pub(super) async fn run(worker: Arc<Worker>) {
    let settlers = Settlers::start(&worker);
    let mut first = 0;
    let mut last = Instant::now();
    let mut hurried = false;
    loop {
        tokio::select! {
            biased;
            () = worker.lifecycle.stopping() => break,
            () = worker.bell.work() => {}
            () = tokio::time::sleep(MOMENT), if hurried => {}
        }
        hurried = false;
        loop {
            if let Some(queue) = worker.bell.cursors().alone()
                && let Err(error) = run_alone(&worker, &settlers, &queue).await
            {
                tracing::warn!(error = %error, queue = queue, "a claim failed");
            }
            // Each round begins with another queue, so that a full node does not always serve the same one.
            let mut due = worker.bell.cursors().due();
            if due.is_empty() {
                break;
            }
            first = (first + 1) % due.len();
            due.rotate_left(first);
            let mut claimed = 0;
            for queue in due {
                claimed += match claim_queue(&worker, &settlers, &queue, &mut last, &mut hurried).await {
                    Ok(claimed) => claimed,
                    Err(error) => {
                        tracing::warn!(error = %error, queue = queue, "a claim failed");
                        worker.bell.wake();
                        tokio::select! {
                            () = tokio::time::sleep(PAUSE) => {}
                            () = worker.lifecycle.stopping() => {}
                        }
                        0
                    }
                };
            }
            if claimed == 0 || worker.lifecycle.is_stopping() {
                break;
            }
        }
    }
    worker.running.empty().await;
    settlers.finish().await;
}

/// Claims what there is room for. Returns how many. `last`: the claim before; `hurried`: it is too soon for this one.
async fn claim_queue(
    worker: &Arc<Worker>,
    settlers: &Settlers,
    queue: &str,
    last: &mut Instant,
    hurried: &mut bool,
) -> sqlx::Result<usize> {
    // A queue that only other nodes know of is theirs.
    let Some(config) = worker.queues.0.get(queue) else {
        worker.bell.cursors().forget(queue);
        return Ok(0);
    };
    if !worker.pulse.is_fresh() || worker.lifecycle.is_stopping() {
        // The next confirmed heartbeat rings again.
        return Ok(0);
    }
    let free = worker.running.free(queue, worker.queues.0.len());
    let batch = worker.config.claim_batch;
    let limit = u32::try_from(free).unwrap_or(u32::MAX).min(batch);
    if limit == 0 {
        // The queue stays due; the next free slot rings.
        return Ok(0);
    }
    // While plenty is in flight a claim of little waits a moment for more slots: its fixed cost is shared by more jobs.
    if limit < batch / 2 && worker.running.count() > batch as usize && last.elapsed() < MOMENT {
        *hurried = true;
        return Ok(0);
    }
    *last = Instant::now();
    let looks = worker.bell.cursors().plan(queue, limit, |lane| share(worker, config, queue, lane));
    if looks.is_empty() {
        return Ok(0);
    }
    let claimed = claim_batch(worker, config.tier, queue, limit, &looks).await?;
    let count = claimed.len();
    start(worker, settlers, config.tier, claimed);
    Ok(count)
}

/// How many jobs a lane may take now, and what it weighs.
fn share(worker: &Worker, config: &Queue, queue: &str, lane: i16) -> (u32, u32) {
    let weight = worker.lanes.weight(queue, lane);
    let most = match config.tenant_share {
        share if share >= 1.0 || lane == 0 => u32::MAX,
        share => {
            // At least one; the product of a share below 1 and a u32 fits.
            let allowed = ((f64::from(worker.config.concurrency) * share) as u32).max(1);
            let tenants = worker.lanes.tenants(queue, lane);
            let in_flight = tenants.iter().map(|tenant| worker.running.of_tenant(queue, tenant)).max().unwrap_or(0);
            allowed.saturating_sub(u32::try_from(in_flight).unwrap_or(u32::MAX))
        }
    };
    (most, weight)
}

/// One claim, committed before anything runs, with the journals of those jobs that were run before. The commit may be
/// asynchronous in every tier: a lost claim is a job that is ready.
async fn claim_batch(worker: &Worker, tier: Tier, queue: &str, limit: u32, looks: &[Look]) -> sqlx::Result<Vec<Taken>> {
    let began = Instant::now();
    let but = worker.registry.unserved();
    let claim = async {
        let mut tx = worker.pool.begin_with("SET LOCAL synchronous_commit = off").await?;
        let (claimed, found) = queue::store::claim(&mut tx, tier, queue, worker.node, limit, looks, &but).await?;
        let again: Vec<_> = claimed.iter().filter(|job| !job.is_first_run()).map(|job| job.id.0).collect();
        let journals = match again.as_slice() {
            [] => HashMap::new(),
            again => journal::store::load(&mut tx, again, worker.cluster.doubt_margin).await?,
        };
        tx.commit().await?;
        sqlx::Result::Ok((claimed, found, journals))
    };
    let (claimed, found, mut journals) = match claim.await {
        Ok(done) => done,
        Err(error) => {
            worker.bell.cursors().took(queue, limit, looks, None, Duration::ZERO);
            return Err(error);
        }
    };
    let took = began.elapsed();
    worker.bell.cursors().took(queue, limit, looks, Some(&found), took);
    let counted = worker.metrics.of_queue(queue);
    counted.claimed(claimed.len(), took);
    claimed.iter().for_each(|job| counted.waited(job.waited));
    if claimed.is_empty() && !but.is_empty() {
        worker.bell.cursors().pass(queue, looks);
    }
    worker.lanes.claimed(queue, claimed.iter().map(|job| job.tenant.as_str()));
    tell(worker, &claimed);
    let slots = worker.running.begin(&claimed);
    let taken = claimed.into_iter().zip(slots).map(|(job, slot)| {
        let journal = journals.remove(&job.id).unwrap_or_else(|| Ok(Vec::new()));
        Taken { job, slot, journal }
    });
    Ok(taken.collect())
}

/// That they run, to those who follow them.
fn tell(worker: &Worker, claimed: &[Claimed]) {
    if worker.live.is_wanted() {
        claimed.iter().for_each(|job| worker.live.running(job.id, &job.tenant, &job.job_type, job.attempt));
    }
}

fn start(worker: &Arc<Worker>, settlers: &Settlers, tier: Tier, claimed: Vec<Taken>) {
    // Dealt out evenly: every thread gets some of a small batch too.
    let threads = worker.runtime.thread_count().max(1);
    let size = claimed.len().div_ceil(threads).clamp(1, CHUNK);
    let mut claimed = claimed.into_iter();
    loop {
        let chunk: Vec<_> = claimed.by_ref().take(size).collect();
        if chunk.is_empty() {
            return;
        }
        worker.runtime.spawn(run::run(Arc::clone(worker), settlers.clone(), tier, chunk));
    }
}

/// One job that took nodes down with it: when nothing else runs here, and nothing else is claimed until it has ended, so
/// that it can hurt nobody but itself.
async fn run_alone(worker: &Arc<Worker>, settlers: &Settlers, queue: &str) -> sqlx::Result<()> {
    let Some(config) = worker.queues.0.get(queue) else { return Ok(()) };
    if !worker.pulse.is_fresh() || worker.lifecycle.is_stopping() || worker.config.concurrency == 0 {
        return Ok(());
    }
    let looks = Cursors::plan_alone();
    let mut tx = worker.pool.begin_with("SET LOCAL synchronous_commit = off").await?;
    let but = worker.registry.unserved();
    let (claimed, _) = queue::store::claim(&mut tx, config.tier, queue, worker.node, 1, &looks, &but).await?;
    let ids: Vec<_> = claimed.iter().map(|job| job.id.0).collect();
    let mut journals = journal::store::load(&mut tx, &ids, worker.cluster.doubt_margin).await?;
    tx.commit().await?;
    if claimed.is_empty() {
        // Its queue is paused, or another node has it.
        return Ok(());
    }
    worker.running.empty().await;
    tell(worker, &claimed);
    let slots = worker.running.begin(&claimed);
    if let Some((job, slot)) = claimed.into_iter().zip(slots).next() {
        tracing::warn!(job.id = %job.id, reaps = job.reaps, "a job that took nodes down with it runs alone");
        let journal = journals.remove(&job.id).unwrap_or_else(|| Ok(Vec::new()));
        start(worker, settlers, config.tier, vec![Taken { job, slot, journal }]);
        worker.running.empty().await;
    }
    Ok(())
}
