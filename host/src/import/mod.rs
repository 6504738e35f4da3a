//! What comes over from another queue: jobs that wait there, and the keys of what it did.
//!
//! Owns: the reading of pg-boss and of the old service's keys, the translation, and the record of what is here already.
//! Refuses: jobs that somebody may be running, jobs that it can't translate, and to delete anything at the source.
//! Invariant: a job of the source is here at most once, however often an import is repeated or cut off; keys are here, and
//! asked about on every node, before the first job is.
//! Tables: imported_jobs (others through `queue`, `idempotency`, `submit`, `alerts`, `audit`).

mod job;
mod keys;
mod map;
mod report;
mod run;
mod source;
mod store;
mod types;

pub use self::{
    map::Map,
    report::Report,
    run::{Importer, Options},
    source::{Place, Source},
};

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    #[error("the old database could not be read")]
    Source(#[source] sqlx::Error),
    #[error("the database could not take it in")]
    Target(#[from] sqlx::Error),
    #[error("{0}")]
    Stopped(String),
}

/// Hears how far it is: what is being done, how much of it, and of how much.
pub type Progress<'a> = &'a (dyn Fn(&'static str, u64, u64) + Send + Sync);
