//! All SQL over `jobs` and `jobs_archive`, by duty.

mod claim;
mod enqueue;
mod maintain;
mod read;
mod settle;

pub use self::{
    claim::{Claimed, claim},
    enqueue::{NewRow, insert},
    maintain::{Poll, make_archive_days, poll, reap_node, reap_orphans, return_strays},
    read::{get, list},
    settle::{Settlement, Verdict, settle},
};
