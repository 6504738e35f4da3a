//! The queue: the life of a job as rows.
//!
//! Owns: all SQL over `jobs` and `jobs_archive`; enqueue, claim, settle, promote, reap, read.
//! Refuses: to settle for anyone whose lease is gone.
//! Invariant: a job is in exactly one of the two tables, and only the holder of its lease moves it.
//! Tables: jobs, jobs_archive.

pub mod store;
pub mod view;

pub use view::{JobView, ListFilter};
