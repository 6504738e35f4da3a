//! The queue: the life of a job as rows.
//!
//! Owns: all SQL over `jobs` and `jobs_archive`; enqueue, claim, settle, promote, reap, read. And the bell that wakes
//! this node's claimer.
//! Refuses: to settle for anyone whose lease is gone.
//! Invariant: a job is in exactly one of the two tables, and only the holder of its lease moves it.
//! Tables: jobs, jobs_archive.

mod bell;
pub mod store;
pub mod view;

pub use self::{
    bell::Bell,
    store::{Claimed, NewRow, Settlement, Verdict},
    view::{JobView, ListFilter},
};
