use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    ids::Tier,
    queue::{self, Bell, Settlement, Verdict},
    submit::{self, PreparedJob},
};

/// Most settlements of one transaction.
const BATCH: usize = 256;
/// Transactions under way at once, a tier: while one waits for its commit the next one runs.
const IN_FLIGHT: usize = 2;
/// Pause before a batch that the database could not take is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A settlement with the children that are committed with it.
pub(super) struct Settled {
    pub settlement: Settlement,
    pub children: Vec<PreparedJob>,
}

struct Pending {
    settled: Settled,
    done: oneshot::Sender<()>,
}

/// Settles in batches, one stream a tier. Like the submits, without a timer: a batch is what came in meanwhile.
#[derive(Clone)]
pub(super) struct Settlers {
    tiers: [mpsc::Sender<Pending>; 3],
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Settlers {
    pub fn start(pool: &PgPool, bell: &Bell) -> Self {
        let mut tasks = Vec::new();
        let tiers = Tier::ALL.map(|tier| {
            let (sender, receiver) = mpsc::channel(BATCH * 4);
            let receiver = Arc::new(Mutex::new(receiver));
            for _ in 0..IN_FLIGHT {
                tasks.push(tokio::spawn(run(pool.clone(), tier, bell.clone(), Arc::clone(&receiver))));
            }
            sender
        });
        Self { tiers, tasks: Arc::new(Mutex::new(tasks)) }
    }

    /// Returns when the settlement is committed, or was dropped because the lease is lost.
    pub async fn settle(&self, settled: Settled) {
        let (done, committed) = oneshot::channel();
        let tier = settled.settlement.tier as usize - 1;
        if self.tiers[tier].send(Pending { settled, done }).await.is_ok() {
            // An error means that the settler is gone, which it is only when the host ends.
            let _ = committed.await;
        }
    }

    /// Ends when all that was handed in is committed.
    pub async fn finish(self) {
        let Self { tiers, tasks } = self;
        drop(tiers);
        for task in tasks.lock().await.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(error = %error, "a settler failed");
            }
        }
    }
}

async fn run(pool: PgPool, tier: Tier, bell: Bell, receiver: Arc<Mutex<mpsc::Receiver<Pending>>>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if receiver.lock().await.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let (settled, done): (Vec<_>, Vec<_>) = batch.drain(..).map(|p| (p.settled, p.done)).unzip();
        commit_all(&pool, tier, settled, &bell).await;
        for done in done {
            let _ = done.send(());
        }
    }
}

/// The batch as one; a row that the database will not take (SQLSTATE 22, 23) is found by halving, and settled dead
/// without result or children. Anything else is tried until it goes through: a settlement is never given up, and a
/// lease that is lost meanwhile makes it harmless.
async fn commit_all(pool: &PgPool, tier: Tier, mut batch: Vec<Settled>, bell: &Bell) {
    loop {
        match commit_once(pool, tier, &batch).await {
            Ok(settled) => {
                ring(bell, &batch, &settled);
                return;
            }
            Err(error) if is_about_a_row(&error) && batch.len() > 1 => {
                let second = batch.split_off(batch.len() / 2);
                Box::pin(commit_all(pool, tier, batch, bell)).await;
                batch = second;
            }
            Err(error) if is_about_a_row(&error) && !is_invalid(&batch) => {
                tracing::error!(error = %error, job.id = batch.first().map(|s| s.settlement.id.to_string()), "a settlement was refused by the database");
                for settled in &mut batch {
                    settled.children.clear();
                    settled.settlement.verdict = Verdict::Dead { reason: "invalid" };
                    settled.settlement.error = Some(serde_json::json!({
                        "kind": "invalid", "message": "the database refused this job's result", "at": chrono::Utc::now(),
                    }));
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, jobs = batch.len(), "settlements could not be committed; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn commit_once(
    pool: &PgPool,
    tier: Tier,
    batch: &[Settled],
) -> sqlx::Result<std::collections::HashSet<crate::ids::JobId>> {
    let settlements: Vec<_> = batch.iter().map(|s| s.settlement.clone()).collect();
    // One transaction has one durability: that of the strictest tier in it.
    let strictest = batch.iter().flat_map(|s| s.children.iter().map(PreparedJob::tier)).fold(tier, Tier::min);
    let mut tx = pool.begin_with(begin(strictest)).await?;
    let settled = queue::store::settle(&mut tx, tier, &settlements).await?;
    for child_tier in Tier::ALL {
        let children: Vec<_> = batch
            .iter()
            .filter(|s| settled.contains(&s.settlement.id))
            .flat_map(|s| s.children.iter().filter(|child| child.tier() == child_tier).cloned())
            .collect();
        if !children.is_empty() {
            // A child whose key is held is not enqueued a second time: the first job stands for it.
            let enqueued = submit::enqueue(&mut tx, child_tier, &children).await?;
            for (child, refused) in children.iter().zip(enqueued).filter_map(|(child, done)| Some((child, done.err()?)))
            {
                tracing::warn!(job.id = %child.id(), error = %refused, "a child was not enqueued");
            }
        }
    }
    tx.commit().await?;
    Ok(settled)
}

fn ring(bell: &Bell, batch: &[Settled], settled: &std::collections::HashSet<crate::ids::JobId>) {
    for Settled { settlement, children } in batch {
        if !settled.contains(&settlement.id) {
            tracing::warn!(job.id = %settlement.id, "lease lost; the result is dropped");
            continue;
        }
        match settlement.verdict {
            Verdict::Again { delay, .. } => bell.due_in(delay),
            Verdict::Return => bell.ready(&settlement.queue),
            Verdict::Completed { .. } | Verdict::Dead { .. } | Verdict::Park => {}
        }
        for child in children {
            submit::ring(bell, child);
        }
    }
}

fn begin(tier: Tier) -> &'static str {
    match tier {
        Tier::Money => "BEGIN; SET LOCAL synchronous_commit = on",
        Tier::Communication | Tier::Background => "BEGIN; SET LOCAL synchronous_commit = off",
    }
}

/// SQLSTATE 22 or 23. But for "no partition found for row", which is 23514 without a constraint: that is the archive's
/// fault, not the job's.
fn is_about_a_row(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let code = error.code().unwrap_or_default();
    code.starts_with("22") || (code.starts_with("23") && !(code == "23514" && error.constraint().is_none()))
}

fn is_invalid(batch: &[Settled]) -> bool {
    batch.iter().all(|s| s.settlement.verdict == Verdict::Dead { reason: "invalid" })
}
