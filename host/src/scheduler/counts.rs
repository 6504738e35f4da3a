use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Scheduler, store};
use crate::{queue, releases};

const EVERY: Duration = Duration::from_secs(60);
/// A node that does this duty is left to it for so long after its last sign.
const LEASE: Duration = Duration::from_secs(180);
/// Jobs that are counted one by one, of a queue or of one way to wait; beyond it an estimate has to do.
const MOST: i64 = 20_000;

/// Once a minute: adds what ended here to the day's counts, and, on one node, looks at what is live.
pub(super) async fn run(s: Arc<Scheduler>) {
    loop {
        let done = async {
            flush(&s).await?;
            sample(&s).await
        };
        if let Err(error) = done.await {
            tracing::warn!(error = %error, "the counts of the queues could not be brought up to date");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = s.lifecycle.stopping() => return,
        }
    }
}

/// Stores what ended here since the last time, and what was used for it.
pub(super) async fn flush(s: &Scheduler) -> sqlx::Result<()> {
    flush_finished(s).await?;
    flush_usage(s).await
}

async fn flush_usage(s: &Scheduler) -> sqlx::Result<()> {
    let metered = s.registry.meter.take();
    if metered.is_empty() {
        return Ok(());
    }
    let stored = async {
        let mut db = s.pool.write().await?;
        releases::store::add_usage(&mut db, &metered).await?;
        db.done().await
    };
    let stored: sqlx::Result<()> = stored.await;
    stored.inspect_err(|_| s.registry.meter.give_back(metered.clone()))
}

/// What ended here since the last time is added to the day's counts.
pub(super) async fn flush_finished(s: &Scheduler) -> sqlx::Result<()> {
    let finished = s.bell.take_finished();
    if finished.is_empty() {
        return Ok(());
    }
    let stored = async {
        let mut db = s.pool.write().await?;
        queue::store::add_finished(&mut db, &finished).await?;
        db.done().await
    };
    stored.await.inspect_err(|_| s.bell.finished(&finished))
}

async fn sample(s: &Scheduler) -> sqlx::Result<()> {
    // An estimate must not become a scan: over a table full of dead rows even a short look is long.
    let mut tx = s.pool.begin_with("SET LOCAL statement_timeout = '2s'").await?;
    if store::lead(&mut tx, "counts", s.node, LEASE).await? {
        let mut running = store::running(&mut tx).await?;
        // Of this node it is known as of now.
        running.insert(s.node.0, s.running.by_queue());
        let mut of_all: BTreeMap<String, i64> = BTreeMap::new();
        for (queue, jobs) in running.into_values().flatten() {
            *of_all.entry(queue).or_default() += i64::try_from(jobs).unwrap_or(i64::MAX);
        }
        let queues: Vec<_> = s.queues.0.keys().cloned().collect();
        queue::store::sample_counts(&mut tx, &queues, &of_all, MOST).await?;
    }
    tx.commit().await
}
