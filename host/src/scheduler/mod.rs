//! The duties of a node that no job asks for, one file each.
//!
//! Owns: the heartbeat and the reaping of dead nodes, the timer that makes due jobs ready, the news between nodes, the
//! archive's partitions, the counts of the queues, the readiness of releases and their quarantine, the look at what the rules of
//! alerts are about, and the comparison of what this node runs with what the table says.
//! Refuses: to trust another node's timestamps; a beat that stands still over our own clock is what counts.
//! Invariant: an idle node asks Postgres less than once a second.
//! Tables: nodes, lost_nodes, duties (jobs through `queue`).

mod alerts;
mod counts;
mod events;
mod heartbeat;
mod news;
mod partitions;
mod promote;
mod redrive;
mod releases;
mod retention;
mod store;
mod strays;
mod waits;

use std::sync::{Arc, atomic::AtomicUsize};

use sqlx::PgPool;
use tokio::{sync::Notify, task::JoinSet};

pub use self::{partitions::make_days, retention::drop_days};
use crate::{
    auth::{ServiceKeys, Verifier},
    config::{Alerts, Cluster, Queues},
    db::Pool,
    ids::NodeId,
    lifecycle::{Lifecycle, Pulse},
    operate::Operator,
    outbox::Hub,
    queue::Bell,
    ratelimit::Limiter,
    runtime::Registry,
    submit::Submitter,
    worker::Running,
};

/// What the duties share.
pub struct Scheduler {
    pub pool: Pool,
    /// Straight to the server.
    pub direct: PgPool,
    pub node: NodeId,
    pub cluster: Cluster,
    pub alerts: Alerts,
    pub queues: Arc<Queues>,
    pub bell: Bell,
    pub pulse: Pulse,
    pub lifecycle: Lifecycle,
    pub registry: Arc<Registry>,
    pub running: Arc<Running>,
    pub operator: Operator,
    pub limiter: Limiter,
    pub services: ServiceKeys,
    pub submitter: Submitter,
    pub events: Hub,
    /// Rings when a bulk redrive may have begun.
    pub redrives: Arc<Notify>,
    /// Other nodes that beat.
    pub peers: Arc<AtomicUsize>,
    /// Rings when another release may be active.
    pub releases_changed: Arc<Notify>,
    /// Rings when a release should be ready here and is not.
    pub releases_wanted: Arc<Notify>,
    /// Rings when rate limits may have changed, or a bucket may be held.
    pub rates_changed: Arc<Notify>,
    pub verifier: Arc<Verifier>,
    /// Rings when tokens may have been revoked.
    pub revocations_changed: Arc<Notify>,
    /// Rings when a key of a service may have been made, rotated or revoked.
    pub keys_changed: Arc<Notify>,
}

impl Scheduler {
    /// Writes this node's row, which must be there before its first claim, and confirms the first beat.
    pub async fn register(&self) -> sqlx::Result<()> {
        heartbeat::register(self).await
    }

    /// Starts all duties. They end when the grace is over; until then this node must go on beating for the jobs it holds.
    pub fn start(self: Arc<Self>) -> JoinSet<()> {
        let mut duties = JoinSet::new();
        duties.spawn(alerts::run(Arc::clone(&self)));
        duties.spawn(counts::run(Arc::clone(&self)));
        duties.spawn(heartbeat::run(Arc::clone(&self)));
        duties.spawn(promote::run(Arc::clone(&self)));
        duties.spawn(news::listen(Arc::clone(&self)));
        duties.spawn(news::tell(Arc::clone(&self)));
        duties.spawn(releases::refresh(Arc::clone(&self)));
        duties.spawn(releases::prepare(Arc::clone(&self)));
        duties.spawn(releases::quarantine(Arc::clone(&self)));
        duties.spawn(releases::make_good(Arc::clone(&self)));
        duties.spawn(news::refresh_rates(Arc::clone(&self)));
        duties.spawn(news::refresh_revocations(Arc::clone(&self)));
        duties.spawn(news::refresh_keys(Arc::clone(&self)));
        duties.spawn(partitions::run(Arc::clone(&self)));
        duties.spawn(redrive::run(Arc::clone(&self)));
        duties.spawn(retention::run(Arc::clone(&self)));
        duties.spawn(events::tell(Arc::clone(&self)));
        duties.spawn(events::tell_keys(Arc::clone(&self)));
        duties.spawn(events::tell_items(Arc::clone(&self)));
        duties.spawn(waits::tell(Arc::clone(&self)));
        duties.spawn(waits::look(Arc::clone(&self)));
        duties.spawn(strays::run(self));
        duties
    }

    /// Takes this node's row away: nothing runs here any more.
    pub async fn unregister(&self) -> sqlx::Result<()> {
        counts::flush(self).await?;
        let mut db = self.pool.write().await?;
        store::unregister(&mut db, self.node).await?;
        db.done().await
    }
}
