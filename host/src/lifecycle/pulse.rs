use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::clock::Boottime;

/// Whether this node may still believe in its own leases: the last moment at which Postgres confirmed its heartbeat,
/// on the clock that counts suspend.
#[derive(Clone, Debug)]
pub struct Pulse {
    within: Duration,
    confirmed: Arc<Mutex<Option<Boottime>>>,
}

impl Pulse {
    /// `within`: how old a confirmation may be.
    pub fn new(within: Duration) -> Self {
        Self { within, confirmed: Arc::default() }
    }

    /// `asked`: when the heartbeat was sent, not when its answer came.
    pub fn confirm(&self, asked: Boottime) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }

    /// Postgres said that this node was declared dead.
    pub fn lose(&self) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How old the last confirmation is; `None`: there is none, or it was lost.
    pub fn age(&self) -> Option<Duration> {
        let confirmed = *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.map(Boottime::elapsed)
    }

    pub fn is_fresh(&self) -> bool {
        let confirmed = *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.is_some_and(|at| at.elapsed() < self.within)
    }
}
