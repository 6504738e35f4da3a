use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

/// Wakes this node's claimer and its timer. Rung after a commit, never before.
#[derive(Clone, Debug, Default)]
pub struct Bell {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Queues in which this node has reason to look.
    hungry: Mutex<BTreeSet<String>>,
    work: Notify,
    /// Queues whose news other nodes have not heard yet.
    untold: Mutex<BTreeSet<String>>,
    news: Notify,
    /// The earliest due time that the timer may not know of yet.
    due: Mutex<Option<Duration>>,
    timer: Notify,
}

impl Bell {
    /// Jobs became ready here: wake our claimer, and let the other nodes know in a moment.
    pub fn ready(&self, queue: &str) {
        self.heard(queue);
        lock(&self.inner.untold).insert(queue.to_owned());
        self.inner.news.notify_one();
    }

    /// Jobs are ready, as another node or a look into the table says.
    pub fn heard(&self, queue: &str) {
        lock(&self.inner.hungry).insert(queue.to_owned());
        self.inner.work.notify_one();
    }

    /// A slot became free.
    pub fn slot_free(&self) {
        self.inner.work.notify_one();
    }

    /// A job falls due after `delay`.
    pub fn due_in(&self, delay: Duration) {
        let mut due = lock(&self.inner.due);
        if due.is_none_or(|at| delay < at) {
            *due = Some(delay);
            self.inner.timer.notify_one();
        }
    }

    /// Queues to look into now. A queue stays until a claim finds it empty.
    pub fn hungry(&self) -> Vec<String> {
        lock(&self.inner.hungry).iter().cloned().collect()
    }

    /// Taken off before the claim that looks, so that news which comes meanwhile is not lost.
    pub fn look(&self, queue: &str) {
        lock(&self.inner.hungry).remove(queue);
    }

    pub async fn work(&self) {
        self.inner.work.notified().await;
    }

    /// Queues that other nodes should hear of.
    pub async fn news(&self) -> BTreeSet<String> {
        loop {
            self.inner.news.notified().await;
            let untold = std::mem::take(&mut *lock(&self.inner.untold));
            if !untold.is_empty() {
                return untold;
            }
        }
    }

    /// Sooner due times since the last call.
    pub async fn timer(&self) -> Duration {
        loop {
            self.inner.timer.notified().await;
            if let Some(due) = lock(&self.inner.due).take() {
                return due;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
