use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::{ids::JobId, queue::Bell};

/// The jobs in flight on this node, by queue.
#[derive(Debug)]
pub struct Running {
    limit: usize,
    bell: Bell,
    state: Mutex<State>,
    empty: Notify,
}

#[derive(Debug, Default)]
struct State {
    jobs: HashMap<JobId, String>,
    by_queue: BTreeMap<String, usize>,
}

impl Running {
    pub fn new(limit: u32, bell: Bell) -> Arc<Self> {
        Arc::new(Self { limit: limit as usize, bell, state: Mutex::default(), empty: Notify::new() })
    }

    /// How many more jobs of this queue may run now. One queue takes at most two thirds of a node while it is not the
    /// only one: a mail server that hangs must not stand in the way of money.
    pub(super) fn free(&self, queue: &str, queues: usize) -> usize {
        let state = self.lock();
        let share = if queues > 1 { (self.limit * 2).div_ceil(3) } else { self.limit };
        let of_queue = state.by_queue.get(queue).copied().unwrap_or(0);
        (self.limit - state.jobs.len().min(self.limit)).min(share - of_queue.min(share))
    }

    /// Takes a slot; it is free again when the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>, job: JobId, queue: &str) -> Slot {
        let mut state = self.lock();
        state.jobs.insert(job, queue.to_owned());
        *state.by_queue.entry(queue.to_owned()).or_default() += 1;
        Slot { running: Arc::clone(self), job }
    }

    /// What this node runs, for the comparison with what the table says.
    pub fn ids(&self) -> Vec<Uuid> {
        self.lock().jobs.keys().map(|id| id.0).collect()
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

/// A job in flight.
#[derive(Debug)]
pub(super) struct Slot {
    running: Arc<Running>,
    job: JobId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.running.lock();
        if let Some(queue) = state.jobs.remove(&self.job)
            && let Some(count) = state.by_queue.get_mut(&queue)
        {
            *count -= 1;
        }
        let empty = state.jobs.is_empty();
        drop(state);
        self.running.bell.slot_free();
        if empty {
            self.running.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_queue_cannot_take_the_whole_node() {
        let running = Running::new(6, Bell::default());
        let slots: Vec<_> = (0..4).map(|_| running.begin(JobId::new(), "communication")).collect();
        assert_eq!(running.free("communication", 3), 0);
        assert_eq!(running.free("money", 3), 2);
        assert_eq!(running.free("communication", 1), 2);
        drop(slots);
        assert_eq!(running.free("communication", 3), 4);
    }
}
