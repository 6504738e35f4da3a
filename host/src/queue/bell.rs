use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Cursors, Ready, Tally, Waits, store::Settled};
use crate::ids::JobId;

/// Wakes this node's claimer and its timer. Rung after a commit, never before.
#[derive(Clone, Debug, Default)]
pub struct Bell {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    cursors: Cursors,
    work: Notify,
    /// Queues whose news other nodes have not heard yet.
    untold: Mutex<BTreeSet<String>>,
    news: Notify,
    /// The earliest due time that the timer may not know of yet.
    due: Mutex<Option<Duration>>,
    timer: Notify,
    finished: Mutex<Tally>,
    waits: Waits,
    /// Something happened to jobs that somebody may follow.
    changed: Notify,
}

impl Bell {
    /// A settlement was committed.
    pub fn settled(&self, settled: &Settled) {
        self.ready(&settled.ready);
        self.finished(&settled.finished);
        self.over(&settled.over);
    }

    /// These have ended: those that wait for them are answered.
    pub fn over(&self, jobs: &[JobId]) {
        self.inner.waits.ended(jobs);
        self.changed();
    }

    pub fn waits(&self) -> &Waits {
        &self.inner.waits
    }

    /// Submits or settlements were committed here.
    pub fn changed(&self) {
        self.inner.changed.notify_one();
    }

    /// Something was committed here since the last call.
    pub async fn change(&self) {
        self.inner.changed.notified().await;
    }

    /// What ended since the last call.
    pub fn take_finished(&self) -> Tally {
        std::mem::take(&mut lock(&self.inner.finished))
    }

    /// Some ended otherwise, or could not be stored and are counted again.
    pub fn finished(&self, finished: &Tally) {
        lock(&self.inner.finished).merge(finished);
    }

    /// Where this node looks for work.
    pub fn cursors(&self) -> &Cursors {
        &self.inner.cursors
    }

    /// Jobs became ready here: wake our claimer, and let the other nodes know in a moment.
    pub fn ready(&self, places: &[Ready]) {
        if places.is_empty() {
            return;
        }
        self.found(places);
        self.changed();
        let mut untold = lock(&self.inner.untold);
        for place in places {
            if !untold.contains(&place.queue) {
                untold.insert(place.queue.clone());
            }
        }
        drop(untold);
        self.inner.news.notify_one();
    }

    /// Jobs are ready at these places, as a look into the table says.
    pub fn found(&self, places: &[Ready]) {
        if !places.is_empty() {
            places.iter().for_each(|place| self.inner.cursors.mark(place));
            self.inner.work.notify_one();
        }
    }

    /// Jobs may be ready somewhere in this queue.
    pub fn heard(&self, queue: &str) {
        self.inner.cursors.mark_all(queue);
        self.inner.work.notify_one();
    }

    /// A paused queue goes on: claims that found nothing may have passed by what lies in it.
    pub fn resumed(&self, queue: &str) {
        self.inner.cursors.from_the_front();
        self.heard(queue);
    }

    /// The claimer should look around: a slot became free, or a cursor was set back.
    pub fn wake(&self) {
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
