//! The queue: the life of a job as rows.
//!
//! Owns: all SQL over `jobs` and `jobs_archive`; enqueue, claim, settle, promote, reap, read. And what this node
//! believes of it: the bell that wakes its claimer, the cursors that tell it where to look, the lanes that keep tenants
//! apart, and who waits for the end of a job.
//! Refuses: to settle for anyone whose lease is gone.
//! Invariant: a job is in exactly one of the two tables, and only the holder of its lease moves it.
//! Tables: jobs, jobs_archive.

mod bell;
mod cursors;
mod lanes;
pub mod store;
mod tally;
pub mod view;
mod waits;

pub use self::{
    bell::Bell,
    cursors::{Cursors, Found, Look, Ready},
    lanes::{ALONE, Lanes},
    store::{Claimed, NewRow, Settlement, Verdict},
    tally::Tally,
    view::{JobView, ListFilter},
    waits::{ENDED, WAITED, Waiting, Waits},
};

/// Longest message in a job's errors, in characters.
const MAX_MESSAGE: usize = 2_000;

/// What a job's errors keep of somebody's words: they may hold anything, and jsonb takes no NUL.
pub fn kept_words(message: &str) -> String {
    message.chars().filter(|c| *c != '\0').take(MAX_MESSAGE).collect()
}
