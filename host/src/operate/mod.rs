//! What people do to jobs that are there: cancel, pause, resume, clear, redrive, and say what became of an effect. And to the
//! keys of services: make, rotate, revoke; and to alerts.
//!
//! Owns: the rules of these, and that the other nodes hear of them.
//! Refuses: to touch a job that somebody runs, or to lose what its journal says.
//! Invariant: a job that may have had an effect never vanishes by a clear and is never run again under a key that
//! another job holds now.
//! Tables: redrives (others through `queue`, `journal`, `idempotency`, `releases`, `alerts`, `auth`, `audit`).

mod alerts;
mod bulk;
mod cancel;
mod effects;
mod flush;
mod keys;
mod limits;
mod moved;
mod queues;
mod rate_limits;
mod redrive;
mod releases;
mod retire;

use std::{sync::Arc, time::Duration};

pub use self::{
    bulk::{Bulk, Preview},
    cancel::Cancelled,
    effects::Resolution,
    flush::Flush,
    keys::RotatedKey,
    queues::Cleared,
    releases::{Asked, Changed, Target},
    retire::{Migrated, Mode},
};
use crate::{
    config::Queues,
    db::Pool,
    ids::{Digest, NodeId},
    queue::{Bell, Lanes},
    submit::Catalog,
};

/// Channel: the id of a job that somebody wants cancelled.
pub const CANCEL: &str = "usher_cancel";
/// Channel: the name of a queue that goes on.
pub const RESUME: &str = "usher_resume";

/// Channel: "NODE CACHE …", what that node was told to forget.
pub const FLUSH: &str = "usher_flush";

/// Channel: a bulk redrive begins.
pub const REDRIVE: &str = "usher_redrive";

/// Does it. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    pub pool: Pool,
    pub bell: Bell,
    pub lanes: Lanes,
    pub queues: Arc<Queues>,
    pub catalog: Arc<Catalog>,
    /// The node that this is on; its releases are loaded before it says so.
    pub node: NodeId,
    /// How long after its deadline a call's sender may still be alive.
    pub doubt_margin: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    #[error("there is no such job")]
    NotFound,
    #[error("there is no such alert")]
    NoAlert,
    #[error("there is no queue \"{0}\" on this host")]
    NoQueue(String),
    /// It is not in a state for that.
    #[error("{message}")]
    Conflict { slug: &'static str, message: String },
    #[error("there is no such key")]
    NoKey,
    #[error("release {0} is not stored")]
    NoRelease(Digest),
    #[error("the plugin has no release {0}")]
    NoSuchRelease(String),
    #[error("there is no plugin \"{0}\"")]
    NoPlugin(String),
    /// A person's answer that is none of the provider's: the pointer, and what should stand there.
    #[error("{0}")]
    Answer(String),
    #[error("the database could not do it")]
    Database(#[from] sqlx::Error),
}

impl OperateError {
    fn conflict(slug: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict { slug, message: message.into() }
    }
}

/// Tells all nodes, this one included, in the transaction that made it so.
async fn notify(db: &mut sqlx::PgConnection, channel: &str, payload: &str) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_notify($1, $2)", channel, payload).execute(db).await?;
    Ok(())
}
