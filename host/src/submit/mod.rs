//! One way in for jobs: HTTP, children and SQL; cron later.
//!
//! Owns: the check of a payload (size, depth, keys, schema), the derived key, the group commit, how many live jobs a tenant may
//! have in a queue, and the mail to the operator when a job has failed.
//! Refuses: anything that Postgres would refuse, before Postgres sees it, so that one bad submit harms no other.
//! Invariant: what is acknowledged is committed, as durably as its tier says.
//! Tables: none of its own (through `queue` and `idempotency`, but for one statement over both).

mod admit;
mod alarm;
mod batch;
pub mod catalog;
mod check;
mod commit;
mod moved;
mod payload;
mod quota;
mod store;

use std::{sync::Arc, time::Duration};

pub use self::{
    admit::Admitted,
    alarm::{Notice, Trouble},
    catalog::{Catalog, CatalogEntry},
    check::PreparedJob,
    commit::{Enqueued, enqueue},
    moved::{Terms, prepare_moved},
    payload::{MAX_DEPTH, MAX_PAYLOAD, parse as parse_json},
    quota::{Full, Quotas},
};
use self::{batch::Batcher, check::Origin};
use crate::{
    config::{AlertMail, Queues},
    db::Pool,
    idempotency::imported::Imported,
    ids::{JobId, Priority, Tier},
    queue::{Bell, Lanes},
    telemetry::metrics::{Collector, Histogram, commit_sizes},
};
use chrono::{DateTime, Utc};

/// Bytes of a payload from which on it is checked on a thread of its own.
const LONG: usize = 16 << 10;

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
    /// It runs after the earlier ones of the same key, queue and tenant.
    pub ordering_key: Option<String>,
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
    #[error("the plugin \"{plugin}\" is being retired, and \"{job_type}\" takes no jobs any more")]
    Retiring { job_type: String, plugin: String },
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

/// The job that enqueues a child.
#[derive(Clone, Debug)]
pub struct ChildOf {
    pub job: JobId,
    pub tenant: String,
    pub subject: String,
    /// Counts the children of one attempt from 0.
    pub n: u32,
}

/// Checks, batches and commits submits. Cheap to clone.
#[derive(Clone)]
pub struct Submitter {
    catalog: Arc<Catalog>,
    queues: Arc<Queues>,
    lanes: Lanes,
    /// Which types have keys of the service before this one.
    imported: Imported,
    /// Who hears of jobs that failed.
    alarm: Option<Arc<AlertMail>>,
    money: Batcher,
    communication: Batcher,
    background: Batcher,
    sizes: Histogram,
}

impl Submitter {
    /// Starts the committers, on the runtime it is called on.
    pub fn start(pool: &Pool, catalog: Arc<Catalog>, queues: Arc<Queues>, bell: &Bell, lanes: &Lanes) -> Self {
        let sizes = commit_sizes("submit");
        let batcher = |tier| Batcher::start(pool, tier, bell, lanes, &sizes);
        Self {
            catalog,
            queues,
            lanes: lanes.clone(),
            imported: Imported::default(),
            alarm: None,
            money: batcher(Tier::Money),
            communication: batcher(Tier::Communication),
            background: batcher(Tier::Background),
            sizes,
        }
    }

    /// What is counted here.
    pub fn metrics(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.sizes.clone())]
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub fn imported(&self) -> &Imported {
        &self.imported
    }

    /// Checked, then committed together with the other submits of the moment and tier.
    pub async fn submit(&self, job: NewJob) -> Result<Accepted, SubmitError> {
        let prepared = if job.payload.len() < LONG {
            self.prepare(job)?
        } else {
            // What is long may take a schema's every part for each of its items: not beside other requests on this thread.
            let submitter = self.clone();
            let prepared = tokio::task::spawn_blocking(move || submitter.prepare(job)).await;
            prepared.map_err(|_| SubmitError::Unavailable(None))??
        };
        self.batcher(prepared.tier()).submit(prepared).await
    }

    /// All checks of a job that is submitted with others, without I/O.
    pub fn prepare(&self, job: NewJob) -> Result<PreparedJob, SubmitError> {
        match self.catalog.get(&job.job_type) {
            Some(entry) if entry.retiring => {
                return Err(SubmitError::Retiring { job_type: job.job_type, plugin: entry.plugin.clone() });
            }
            Some(entry) if entry.dropped => return Err(self.unknown(&job)),
            _ => {}
        }
        self.check(job, &Origin { id: JobId::new(), parent: None, delay_ms: 0 })
    }

    /// Commits checked jobs, those of a tier together; one answer each, in order.
    pub async fn submit_all(&self, jobs: Vec<PreparedJob>) -> Vec<Result<Accepted, SubmitError>> {
        let mut answers: Vec<_> = jobs.iter().map(|_| Err(SubmitError::Busy)).collect();
        for tier in [Tier::Money, Tier::Communication, Tier::Background] {
            let (places, of_tier): (Vec<_>, Vec<_>) =
                jobs.iter().enumerate().filter(|(_, job)| job.tier == tier).unzip();
            if of_tier.is_empty() {
                continue;
            }
            for (place, answer) in places.into_iter().zip(self.batcher(tier).submit_all(&of_tier).await) {
                answers[place] = answer;
            }
        }
        answers
    }

    fn batcher(&self, tier: Tier) -> &Batcher {
        match tier {
            Tier::Money => &self.money,
            Tier::Communication => &self.communication,
            Tier::Background => &self.background,
        }
    }

    /// A child, checked while its parent runs; it is committed with the parent's success.
    pub fn prepare_child(
        &self,
        parent: &ChildOf,
        job_type: &str,
        payload: &str,
        key: Option<&str>,
        delay: Duration,
    ) -> Result<PreparedJob, SubmitError> {
        let origin = Origin {
            id: parent.job.child(parent.n),
            parent: Some(parent.job),
            delay_ms: i64::try_from(delay.as_millis()).unwrap_or(i64::MAX).min(MAX_DELAY_MS),
        };
        let job = NewJob {
            job_type: job_type.to_owned(),
            payload: payload.to_owned(),
            priority: None,
            run_at: None,
            expires_in: None,
            metadata: None,
            tenant: parent.tenant.clone(),
            subject: parent.subject.clone(),
            key: key.map(str::to_owned),
            ordering_key: None,
        };
        self.check(job, &origin)
    }

    fn unknown(&self, job: &NewJob) -> SubmitError {
        SubmitError::UnknownType { given: job.job_type.clone(), known: self.catalog.named() }
    }

    fn check(&self, job: NewJob, origin: &Origin) -> Result<PreparedJob, SubmitError> {
        let entry = self.catalog.get(&job.job_type).ok_or_else(|| self.unknown(&job))?;
        // The policy refuses a release whose queue is not configured; here a node's own file may differ.
        let queue = self.queues.0.get(&entry.job_type.queue).ok_or(SubmitError::Field {
            pointer: "/type",
            message: "the queue of this job type is not configured on this host".to_owned(),
        })?;
        let now = Utc::now();
        let mut prepared = check::check(&entry, queue, job, origin, now)?;
        prepared.old_keys =
            self.imported.keys(prepared.job_type(), prepared.payload(), prepared.key(), prepared.derives(), now);
        Ok(prepared)
    }
}

/// A year.
const MAX_DELAY_MS: i64 = 365 * 24 * 3600 * 1000;
