use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

use super::{Running, Worker, slots::Slot};
use crate::{
    alerts::{self, Alert},
    db::Pool,
    ids::{JobId, Tier},
    queue::{self, Bell, Lanes, Settlement, Verdict},
    releases,
    submit::{self, PreparedJob, Submitter, Trouble},
    telemetry::metrics::Jobs,
    webhooks::{self, Event, Failed},
};

/// Most settlements of one transaction.
const BATCH: usize = 512;
/// The longest that a settlement waits for company.
const MOMENT: Duration = Duration::from_millis(3);
/// Handed in and not yet taken up, in handfuls.
const WAITING: usize = 64;
/// Transactions under way at once, a tier: while one waits for its commit the next one runs.
const IN_FLIGHT: usize = 2;
/// Pause before a batch that the database could not take is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A settlement with the children that are committed with it.
pub(super) struct Settled {
    pub settlement: Settlement,
    pub children: Vec<PreparedJob>,
    /// Events that are committed with it.
    pub published: Vec<Event>,
    /// What a person should know of it.
    pub alert: Option<Alert>,
}

/// The slot is free once the settlement is committed, or dropped because the lease is lost.
pub(super) struct Pending {
    pub settled: Settled,
    pub slot: Slot,
}

/// Settles in batches, one stream a tier. Like the submits, without a timer: a batch is what came in meanwhile.
#[derive(Clone)]
pub(super) struct Settlers {
    tiers: [mpsc::Sender<Vec<Pending>>; 3],
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Settlers {
    pub fn start(worker: &Worker) -> Self {
        let mut tasks = Vec::new();
        let tiers = Tier::ALL.map(|tier| {
            let (sender, receiver) = mpsc::channel(WAITING);
            let receiver = Arc::new(Mutex::new(receiver));
            for _ in 0..IN_FLIGHT {
                let settler = Settler {
                    pool: worker.pool.clone(),
                    tier,
                    bell: worker.bell.clone(),
                    lanes: worker.lanes.clone(),
                    submitter: worker.submitter.clone(),
                    running: Arc::clone(&worker.running),
                    published: worker.published.clone(),
                    metrics: Arc::clone(&worker.metrics),
                };
                tasks.push(tokio::spawn(settler.run(Arc::clone(&receiver))));
            }
            sender
        });
        Self { tiers, tasks: Arc::new(Mutex::new(tasks)) }
    }

    /// Hands over jobs of one tier.
    pub async fn settle(&self, tier: Tier, pending: Vec<Pending>) {
        // An error means that the settlers are gone, which they are only when the host ends; then a reaper has the jobs.
        let _ = self.tiers[tier as usize - 1].send(pending).await;
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

struct Settler {
    pool: Pool,
    tier: Tier,
    bell: Bell,
    lanes: Lanes,
    submitter: Submitter,
    running: Arc<Running>,
    published: webhooks::Bell,
    metrics: Arc<Jobs>,
}

impl Settler {
    async fn run(self, receiver: Arc<Mutex<mpsc::Receiver<Vec<Pending>>>>) {
        loop {
            let Some(mut batch) = self.gather(&mut *receiver.lock().await).await else { return };
            let mut settled: Vec<_> = Vec::with_capacity(batch.len());
            let mut slots = Vec::with_capacity(batch.len());
            for pending in batch.drain(..) {
                settled.push(pending.settled);
                slots.push(pending.slot);
            }
            self.commit_all(settled).await;
        }
    }

    /// What came in meanwhile; where many more run here, those that end within a moment too. A statement costs what
    /// thirty of its rows do.
    async fn gather(&self, receiver: &mut mpsc::Receiver<Vec<Pending>>) -> Option<Vec<Pending>> {
        let mut batch = receiver.recv().await?;
        let moment = tokio::time::sleep(MOMENT);
        tokio::pin!(moment);
        while batch.len() < BATCH {
            if let Ok(more) = receiver.try_recv() {
                batch.extend(more);
                continue;
            }
            if batch.len() >= BATCH / 2 || self.running.count() < batch.len() + BATCH / 2 {
                break;
            }
            tokio::select! {
                more = receiver.recv() => match more {
                    Some(more) => batch.extend(more),
                    None => break,
                },
                () = &mut moment => break,
            }
        }
        Some(batch)
    }

    /// The batch as one; a row that the database will not take (SQLSTATE 22, 23) is found by halving, and settled dead
    /// without result or children. Anything else is tried until it goes through: a settlement is never given up, and a
    /// lease that is lost meanwhile makes it harmless.
    async fn commit_all(&self, mut batch: Vec<Settled>) {
        loop {
            match self.commit_once(&batch).await {
                Ok(done) => return self.ring(&batch, &done),
                Err(error) if is_about_a_row(&error) && batch.len() > 1 => {
                    let second = batch.split_off(batch.len() / 2);
                    Box::pin(self.commit_all(batch)).await;
                    batch = second;
                }
                Err(error) if is_about_a_row(&error) && !is_invalid(&batch) => {
                    tracing::error!(error = %error, job.id = batch.first().map(|s| s.settlement.id.to_string()), "a settlement was refused by the database");
                    for settled in &mut batch {
                        settled.children.clear();
                        settled.published.clear();
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

    async fn commit_once(&self, batch: &[Settled]) -> sqlx::Result<Done> {
        let settlements: Vec<_> = batch.iter().map(|s| &s.settlement).collect();
        // One transaction has one durability: that of the strictest tier in it.
        let strictest = batch.iter().flat_map(|s| s.children.iter().map(PreparedJob::tier)).fold(self.tier, Tier::min);
        let mut tx = self.pool.begin_for(strictest, "").await?;
        let mut settled = queue::store::settle(&mut tx, self.tier, &settlements).await?;
        let mut lost = Vec::new();
        if settled.ids.len() < batch.len() {
            lost.extend(batch.iter().map(|s| s.settlement.id).filter(|id| !settled.ids.contains(id)));
        }
        let alerts: Vec<_> =
            batch.iter().filter(|s| settled.ids.contains(&s.settlement.id)).filter_map(|s| s.alert.clone()).collect();
        alerts::raise(&mut tx, &alerts).await?;
        let mut types: Vec<_> = batch.iter().flat_map(|s| s.children.iter().map(PreparedJob::job_type)).collect();
        if !types.is_empty() {
            types.sort_unstable();
            types.dedup();
            releases::store::hold_types(&mut tx, &types).await?;
        }
        for tier in Tier::ALL {
            let children: Vec<_> = batch
                .iter()
                .filter(|s| settled.ids.contains(&s.settlement.id))
                .flat_map(|s| s.children.iter().filter(|child| child.tier() == tier))
                .collect();
            if !children.is_empty() {
                // A child whose key is held is not enqueued a second time: the first job stands for it.
                let enqueued = submit::enqueue(&mut tx, tier, &children, &self.lanes).await?;
                settled.ready.extend(enqueued.ready);
                let refused =
                    children.iter().zip(enqueued.results).filter_map(|(child, done)| Some((child, done.err()?)));
                for (child, error) in refused {
                    tracing::warn!(job.id = %child.id(), error = %error, "a child was not enqueued");
                }
            }
        }
        let mails = self.submitter.alarm(&mut tx, &troubles(batch, &settled)).await?;
        settled.ready.extend(mails);
        let events = events(batch, &mut settled);
        let deliveries = if events.is_empty() { 0 } else { webhooks::store::publish(&mut tx, &events).await? };
        tx.commit().await?;
        Ok(Done { lost, settled, published: deliveries > 0 })
    }

    fn ring(&self, batch: &[Settled], done: &Done) {
        for id in &done.lost {
            tracing::warn!(job.id = %id, "lease lost; the result is dropped");
        }
        self.metrics.settled(batch.len(), done.lost.len());
        for (queue, state, jobs) in done.settled.finished.iter() {
            self.metrics.of_queue(queue).finished(state, jobs);
        }
        self.bell.settled(&done.settled);
        if done.published {
            self.published.ring();
        }
        let later = batch.iter().flat_map(|Settled { settlement, children, .. }| {
            let again = match settlement.verdict {
                Verdict::Again { delay, .. } => Some(delay),
                _ => None,
            };
            again.into_iter().chain(children.iter().filter_map(PreparedJob::due_in))
        });
        if let Some(soonest) = later.min() {
            self.bell.due_in(soonest);
        }
    }
}

/// What a committed batch brought about.
struct Done {
    /// Their lease was not ours any more.
    lost: Vec<JobId>,
    settled: queue::store::Settled,
    /// Something is to be sent.
    published: bool,
}

/// What guests published and whose job has succeeded now, and the failures that the host itself tells of.
fn events(batch: &[Settled], settled: &mut queue::store::Settled) -> Vec<Event> {
    let published = batch.iter().filter(|s| !s.published.is_empty() && settled.ids.contains(&s.settlement.id));
    let mut events: Vec<_> = published.flat_map(|s| s.published.iter().cloned()).collect();
    events.extend(settled.dead.drain(..).map(|dead| {
        Event::failed(Failed {
            tenant: dead.tenant,
            job: dead.id,
            job_type: dead.job_type,
            queue: dead.queue,
            reason: dead.reason,
            redrives: dead.redrives,
        })
    }));
    events
}

/// What the operator should hear of: jobs that ended dead, and those that are parked.
fn troubles(batch: &[Settled], settled: &queue::store::Settled) -> Vec<Trouble> {
    let parked = batch
        .iter()
        .filter(|s| matches!(s.settlement.verdict, Verdict::Park) && settled.ids.contains(&s.settlement.id));
    let parked = parked.filter_map(|s| {
        let alert = s.alert.as_ref()?;
        Some(Trouble {
            job: s.settlement.id,
            tenant: alert.tenant.clone()?,
            job_type: alert.detail["type"].as_str()?.to_owned(),
            reason: "unknown-outcome".to_owned(),
            redrives: 0,
        })
    });
    settled.dead.iter().map(Trouble::from).chain(parked).collect()
}

/// SQLSTATE 22 or 23, or 54: something of it is larger than PostgreSQL takes. But for "no partition found for row", which is 23514 without a constraint: that is the archive's
/// fault, not the job's.
fn is_about_a_row(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let code = error.code().unwrap_or_default();
    code.starts_with("22")
        || code.starts_with("54")
        || (code.starts_with("23") && !(code == "23514" && error.constraint().is_none()))
}

fn is_invalid(batch: &[Settled]) -> bool {
    batch.iter().all(|s| s.settlement.verdict == Verdict::Dead { reason: "invalid" })
}
