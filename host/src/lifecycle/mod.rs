//! How a host ends.
//!
//! Owns: the two signals of a shutdown, in order: `stopping` (take nothing new), then `ended` (the grace is over);
//! and the pulse, by which a node knows whether it still counts as alive.
//! Refuses: nothing; rooms listen.
//! Invariant: `ended` never fires before `stopping`.
//! Tables: none.

mod pulse;

use tokio_util::sync::CancellationToken;

pub use self::pulse::Pulse;

/// Cloned into every long-lived task.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    stopping: CancellationToken,
    ended: CancellationToken,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on nothing new is claimed; work under way goes on.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// The grace is over: whatever still runs is dropped and given back.
    pub fn end(&self) {
        self.stopping.cancel();
        self.ended.cancel();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}
