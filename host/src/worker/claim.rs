use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Worker, run, settle::Settlers, slots::Slot};
use crate::{
    ids::{JobId, Tier},
    journal::{self, Recorded},
    queue::{self, Claimed},
};

/// After a database error the claimer waits this long.
const PAUSE: Duration = Duration::from_secs(1);

/// Claims for the free slots whenever the bell rings. Ends when the host stops and all slots are free.
pub(super) async fn run(worker: Arc<Worker>) {
    let settlers = Settlers::start(&worker.pool, &worker.bell);
    let mut first = 0;
    loop {
        tokio::select! {
            biased;
            () = worker.lifecycle.stopping() => break,
            () = worker.bell.work() => {}
        }
        // Each round begins with another queue, so that a full node does not always serve the same one.
        let mut hungry = worker.bell.hungry();
        if hungry.is_empty() {
            continue;
        }
        first = (first + 1) % hungry.len();
        hungry.rotate_left(first);
        for queue in hungry {
            if let Err(error) = claim_queue(&worker, &settlers, &queue).await {
                tracing::warn!(error = %error, queue = queue, "a claim failed");
                worker.bell.heard(&queue);
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = worker.lifecycle.stopping() => {}
                }
            }
        }
    }
    worker.running.empty().await;
    settlers.finish().await;
}

async fn claim_queue(worker: &Arc<Worker>, settlers: &Settlers, queue: &str) -> sqlx::Result<()> {
    // A queue that only other nodes know of is theirs.
    let Some(config) = worker.queues.0.get(queue) else {
        worker.bell.look(queue);
        return Ok(());
    };
    if !worker.pulse.is_fresh() || worker.lifecycle.is_stopping() {
        // The next confirmed heartbeat rings again.
        return Ok(());
    }
    let free = worker.running.free(queue, worker.queues.0.len());
    let limit = u32::try_from(free).unwrap_or(u32::MAX).min(worker.config.claim_batch);
    if limit == 0 {
        // The queue stays hungry; the next free slot rings.
        return Ok(());
    }
    worker.bell.look(queue);
    let claimed = claim_batch(worker, config.tier, queue, limit).await?;
    if claimed.len() == limit as usize {
        worker.bell.heard(queue);
    }
    for (job, slot, journal) in claimed {
        tokio::spawn(run::run(Arc::clone(worker), settlers.clone(), job, slot, journal));
    }
    Ok(())
}

/// One claim, committed before anything runs, with the journals of those jobs that were run before. The commit may be
/// asynchronous in every tier: a lost claim is a job that is ready.
async fn claim_batch(
    worker: &Worker,
    tier: Tier,
    queue: &str,
    limit: u32,
) -> sqlx::Result<Vec<(Claimed, Slot, Vec<Recorded>)>> {
    let mut tx = worker.pool.begin_with("BEGIN; SET LOCAL synchronous_commit = off").await?;
    let claimed = queue::store::claim(&mut tx, tier, queue, worker.node, limit).await?;
    let again: Vec<_> = claimed.iter().filter(|job| !job.is_first_run()).map(|job| job.id.0).collect();
    let mut journals: HashMap<JobId, Vec<Recorded>> = HashMap::new();
    if !again.is_empty() {
        for (job, row) in journal::store::load(&mut tx, &again, worker.cluster.doubt_margin).await? {
            journals.entry(job).or_default().push(row);
        }
    }
    tx.commit().await?;
    Ok(claimed
        .into_iter()
        .map(|job| {
            let slot = worker.running.begin(job.id, queue);
            let journal = journals.remove(&job.id).unwrap_or_default();
            (job, slot, journal)
        })
        .collect())
}
