//! One way in for jobs: HTTP and children today; SQL and cron later.
//!
//! Owns: the check of a payload (size, depth, keys, schema), the derived key, and the group commit.
//! Refuses: anything that Postgres would refuse, before Postgres sees it, so that one bad submit harms no other.
//! Invariant: what is acknowledged is committed, as durably as its tier says.
//! Tables: none of its own (through `queue` and `idempotency`).

pub mod catalog;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

pub use self::catalog::{Catalog, CatalogEntry};
use crate::ids::{JobId, Priority};

/// A job as a submitter says it.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub job_type: String,
    /// Verbatim JSON text.
    pub payload: String,
    pub priority: Option<Priority>,
    pub run_at: Option<DateTime<Utc>>,
    pub expires_in: Option<Duration>,
    /// JSON object text, kept and shown, never given to the guest.
    pub metadata: Option<String>,
    pub tenant: String,
    pub subject: String,
    /// The caller's own key (`Idempotency-Key`).
    pub key: Option<String>,
}

/// What became of a submit that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A new job, committed.
    New(JobId),
    /// The caller's own key was seen before with the same payload: the first job.
    Replayed(JobId),
    /// The derived key was seen before: the first job.
    Deduplicated(JobId),
}

impl Accepted {
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Replayed(id) | Self::Deduplicated(id) => id,
        }
    }
}

/// One finding about a payload.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// RFC 6901, into the payload; empty for the whole.
    pub pointer: String,
    pub message: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("no plugin owns the job type \"{given}\"")]
    UnknownType { given: String, known: Vec<String> },
    #[error("the payload is longer than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the payload is refused")]
    Payload(Vec<Violation>),
    #[error("{message}")]
    Field { pointer: &'static str, message: String },
    #[error("the idempotency key was used before with another payload")]
    KeyReused { first: JobId },
    #[error("too many submits are waiting to be committed")]
    Busy,
    #[error("the database could not commit the submit")]
    Unavailable(#[source] Option<sqlx::Error>),
}

/// Checks, batches and commits submits. Cheap to clone.
#[derive(Clone)]
pub struct Submitter {
    #[expect(dead_code, reason = "stub")]
    catalog: Arc<Catalog>,
}

impl Submitter {
    /// Checked, then committed together with the other submits of the moment and tier.
    pub async fn submit(&self, _job: NewJob) -> Result<Accepted, SubmitError> {
        Err(SubmitError::Busy)
    }
}
