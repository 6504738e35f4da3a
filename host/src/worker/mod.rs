//! The life of a job on this node: claim, resolve, run, classify, settle.
//!
//! Owns: the claimer, the slots, the choice of the release, the reading of an outcome, and the batches of settlements.
//! Refuses: to claim while the heartbeat is not confirmed or the host is stopping.
//! Invariant: every claimed job is settled, or its lease is left to the reaper; never both.
//! Tables: none of its own (through `queue`, `journal` and `submit`).

mod claim;
mod classify;
mod run;
mod settle;
mod slots;
mod watch;

use std::sync::Arc;

use tokio::task::JoinHandle;

pub use self::slots::{NodeLimits, Running};
use crate::{
    config::{Cluster, Queues, Worker as Config},
    db::Pool,
    ids::NodeId,
    lifecycle::{Lifecycle, Pulse},
    outbox::Live,
    queue::{self, Bell, Lanes},
    runtime::{Registry, Runtime},
    submit::Submitter,
    telemetry::metrics::Jobs,
    webhooks,
};

/// What the steps of a job share.
pub struct Worker {
    pub pool: Pool,
    pub node: NodeId,
    pub config: Config,
    pub cluster: Cluster,
    pub queues: Arc<Queues>,
    pub bell: Bell,
    pub lanes: Lanes,
    pub pulse: Pulse,
    pub lifecycle: Lifecycle,
    pub registry: Arc<Registry>,
    pub runtime: Arc<Runtime>,
    pub submitter: Submitter,
    pub running: Arc<Running>,
    /// Who follows a job hears that it runs.
    pub live: Live,
    /// Rings when a settlement has published something.
    pub published: webhooks::Bell,
    pub metrics: Arc<Jobs>,
}

impl Worker {
    /// Takes up the cursors of the last claimer, so that this one does not begin at the front.
    pub async fn restore(&self) -> sqlx::Result<()> {
        let mut db = self.pool.read().await?;
        let cursors = queue::store::saved_cursors(&mut db).await?;
        self.bell.cursors().restore(&cursors);
        Ok(())
    }

    /// Claims until the host stops, then waits until all that was claimed is settled (or given back, once the grace is
    /// over). The handle ends when nothing is left.
    pub fn start(self: Arc<Self>) -> JoinHandle<()> {
        tokio::spawn(watch::run(Arc::clone(&self)));
        tokio::spawn(claim::run(self))
    }
}
