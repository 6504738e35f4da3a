use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    ids::{JobId, Lease},
    queue::{Bell, Claimed},
};

/// The jobs in flight on this node: from their claim until their settlement is committed.
#[derive(Debug)]
pub struct Running {
    limit: usize,
    bell: Bell,
    state: Mutex<State>,
    empty: Notify,
    /// Rings when a turn of a limited type is free, or its limit changed.
    turns: Notify,
}

/// What operators decide at run time about each node; `worker.concurrency` is never exceeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLimits {
    pub all: Option<usize>,
    pub queues: HashMap<String, usize>,
    pub types: HashMap<String, usize>,
}

#[derive(Debug, Default)]
struct State {
    /// By lease too: a node that was declared dead may hold a job anew while its old attempt still runs.
    jobs: HashMap<(JobId, Lease), Entry>,
    by_queue: BTreeMap<String, InQueue>,
    /// Jobs whose guest runs, of limited types only.
    by_type: HashMap<String, usize>,
    limits: NodeLimits,
    /// The grace is over: what begins now ends at once.
    ended: bool,
}

#[derive(Debug)]
struct Entry {
    queue: String,
    tenant: String,
    stop: Arc<Stop>,
}

#[derive(Debug, Default)]
struct InQueue {
    jobs: usize,
    by_tenant: HashMap<String, usize>,
}

/// How a job in flight is told to end.
#[derive(Debug, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    /// Somebody asked for this job's cancellation; otherwise the host ends.
    asked: AtomicBool,
}

impl Running {
    pub fn new(limit: u32, bell: Bell) -> Arc<Self> {
        Arc::new(Self {
            limit: limit as usize,
            bell,
            state: Mutex::default(),
            empty: Notify::new(),
            turns: Notify::new(),
        })
    }

    /// How many more jobs of this queue may run now. One queue takes at most two thirds of a node while it is not the
    /// only one: a mail server that hangs must not stand in the way of money.
    pub(super) fn free(&self, queue: &str, queues: usize) -> usize {
        let state = self.lock();
        let limit = state.limits.all.map_or(self.limit, |most| most.min(self.limit));
        let share = if queues > 1 { (limit * 2).div_ceil(3) } else { limit };
        let share = state.limits.queues.get(queue).map_or(share, |most| share.min(*most));
        let of_queue = state.by_queue.get(queue).map_or(0, |q| q.jobs);
        limit.saturating_sub(state.jobs.len()).min(share.saturating_sub(of_queue))
    }

    /// Binds from now on; what runs, runs on.
    pub fn set_limits(&self, limits: NodeLimits) {
        let mut state = self.lock();
        if state.limits != limits {
            tracing::info!(limits = ?limits, "other limits of this node");
            state.limits = limits;
            drop(state);
            self.turns.notify_waiters();
            self.bell.wake();
        }
    }

    /// Waits until one more job of this type may run here. The cluster lets go no more of them than all nodes may run,
    /// so few wait, and not for long.
    pub(super) async fn turn(self: &Arc<Self>, job_type: &str) -> Option<Turn> {
        loop {
            let free = self.turns.notified();
            {
                let mut state = self.lock();
                let most = *state.limits.types.get(job_type)?;
                let running = state.by_type.entry(job_type.to_owned()).or_default();
                if *running < most {
                    *running += 1;
                    return Some(Turn { running: Arc::clone(self), job_type: job_type.to_owned() });
                }
            }
            free.await;
        }
    }

    /// Jobs in flight, by queue.
    pub fn by_queue(&self) -> BTreeMap<String, usize> {
        self.lock().by_queue.iter().map(|(name, queue)| (name.clone(), queue.jobs)).collect()
    }

    /// How many jobs of this tenant and queue are in flight here.
    pub(super) fn of_tenant(&self, queue: &str, tenant: &str) -> usize {
        self.lock().by_queue.get(queue).and_then(|q| q.by_tenant.get(tenant)).copied().unwrap_or(0)
    }

    /// Takes a slot for each; it is free again when its value is dropped.
    pub(super) fn begin(self: &Arc<Self>, jobs: &[Claimed]) -> Vec<Slot> {
        let mut state = self.lock();
        let ended = state.ended;
        jobs.iter()
            .map(|job| {
                let stop = Arc::new(Stop::default());
                if ended {
                    stop.token.cancel();
                }
                let in_queue = state.by_queue.entry(job.queue.clone()).or_default();
                in_queue.jobs += 1;
                *in_queue.by_tenant.entry(job.tenant.clone()).or_default() += 1;
                let entry = Entry { queue: job.queue.clone(), tenant: job.tenant.clone(), stop: Arc::clone(&stop) };
                state.jobs.insert((job.id, job.lease), entry);
                Slot { running: Arc::clone(self), job: (job.id, job.lease), stop }
            })
            .collect()
    }

    /// Somebody wants these jobs cancelled; those that run here are told so.
    pub fn cancel(&self, jobs: &[Uuid]) {
        let state = self.lock();
        for (_, entry) in state.jobs.iter().filter(|((id, _), _)| jobs.contains(&id.0)) {
            entry.stop.asked.store(true, Ordering::Relaxed);
            entry.stop.token.cancel();
        }
    }

    /// The grace is over.
    pub fn end_all(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.jobs.values().for_each(|entry| entry.stop.token.cancel());
    }

    /// What this node runs, for the comparison with what the table says.
    pub fn ids(&self) -> Vec<Uuid> {
        self.lock().jobs.keys().map(|(id, _)| id.0).collect()
    }

    pub fn count(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Waits until nothing runs.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.empty.notified();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job of a limited type that runs.
#[derive(Debug)]
pub(super) struct Turn {
    running: Arc<Running>,
    job_type: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.running.lock();
        if let Some(count) = state.by_type.get_mut(&self.job_type) {
            *count -= 1;
            if *count == 0 {
                state.by_type.remove(&self.job_type);
            }
        }
        drop(state);
        self.running.turns.notify_waiters();
    }
}

/// A job in flight.
#[derive(Debug)]
pub(super) struct Slot {
    running: Arc<Running>,
    job: (JobId, Lease),
    stop: Arc<Stop>,
}

impl Slot {
    pub fn cancelled(&self) -> CancellationToken {
        self.stop.token.clone()
    }

    /// The job itself is to be cancelled, whatever the host does.
    pub fn cancel_asked(&self) -> bool {
        self.stop.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.running.lock();
        if let Some(entry) = state.jobs.remove(&self.job)
            && let Some(in_queue) = state.by_queue.get_mut(&entry.queue)
        {
            in_queue.jobs -= 1;
            if let Some(count) = in_queue.by_tenant.get_mut(&entry.tenant) {
                *count -= 1;
                if *count == 0 {
                    in_queue.by_tenant.remove(&entry.tenant);
                }
            }
        }
        let empty = state.jobs.is_empty();
        drop(state);
        self.running.bell.wake();
        if empty {
            self.running.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Tier;

    fn jobs(n: usize, tenant: &str) -> Vec<Claimed> {
        let job = |_| Claimed {
            id: JobId::new(),
            tier: Tier::Communication,
            lease: Lease::random(),
            tenant: tenant.to_owned(),
            job_type: "x".to_owned(),
            queue: "communication".to_owned(),
            subject: "s".to_owned(),
            payload: "{}".to_owned(),
            attempt: 1,
            max_attempts: 3,
            snoozes: 0,
            reaps: 0,
            runs: 1,
            generation: 0,
            accepted_by: None,
            pinned: None,
            expired: false,
            cancel_requested: false,
            place: None,
            alone: false,
            waited: std::time::Duration::ZERO,
        };
        (0..n).map(job).collect()
    }

    #[test]
    fn one_queue_cannot_take_the_whole_node() {
        let running = Running::new(6, Bell::default());
        let slots = running.begin(&jobs(4, "t"));
        assert_eq!(running.free("communication", 3), 0);
        assert_eq!(running.free("money", 3), 2);
        assert_eq!(running.free("communication", 1), 2);
        drop(slots);
        assert_eq!(running.free("communication", 3), 4);
    }

    #[test]
    fn limits_of_the_node_bind_from_now_on_and_never_raise_what_it_was_built_for() {
        let running = Running::new(6, Bell::default());
        let set = |all, money: usize| {
            let queues = HashMap::from([("money".to_owned(), money)]);
            running.set_limits(NodeLimits { all, queues, ..NodeLimits::default() });
        };
        set(Some(3), 100);
        assert_eq!(running.free("communication", 1), 3);
        let slots = running.begin(&jobs(3, "t"));
        set(Some(2), 100);
        assert_eq!(running.free("communication", 1), 0);
        drop(slots);
        set(Some(100), 1);
        assert_eq!((running.free("communication", 1), running.free("money", 1)), (6, 1));
    }

    #[tokio::test]
    async fn a_type_runs_as_often_as_its_limit_on_this_node_says() {
        let running = Running::new(6, Bell::default());
        assert!(running.turn("free").await.is_none());
        let set = |most| {
            let types = HashMap::from([("x".to_owned(), most)]);
            running.set_limits(NodeLimits { types, ..NodeLimits::default() });
        };
        set(1);
        let first = running.turn("x").await;
        let mut second = Box::pin(running.turn("x"));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.is_some());
        // What waits hears of another limit too.
        set(0);
        let mut waits = Box::pin(running.turn("x"));
        assert!(futures_util::poll!(&mut waits).is_pending());
        running.set_limits(NodeLimits::default());
        assert!(waits.await.is_none());
    }

    #[test]
    fn tenants_are_counted_and_cancels_find_their_job() {
        let running = Running::new(6, Bell::default());
        let jobs = jobs(2, "t");
        let slots = running.begin(&jobs);
        assert_eq!(running.of_tenant("communication", "t"), 2);
        running.cancel(&[jobs[1].id.0, Uuid::nil()]);
        assert!(!slots[0].cancel_asked() && slots[1].cancel_asked());
        assert!(!slots[0].cancelled().is_cancelled() && slots[1].cancelled().is_cancelled());
        running.end_all();
        assert!(slots[0].cancelled().is_cancelled() && !slots[0].cancel_asked());
        drop(slots);
        assert_eq!(running.of_tenant("communication", "t"), 0);
    }
}
