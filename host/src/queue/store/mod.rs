//! All SQL over `jobs` and `jobs_archive`, by duty.

mod claim;
mod enqueue;
mod maintain;
mod read;
mod settle;

pub use self::{
    claim::{Claimed, claim},
    enqueue::{NewRow, insert},
    maintain::{
        Poll, head, make_archive_days, poll, reap_node, reap_orphans, return_strays, save_cursors, saved_cursors,
    },
    read::{get, list},
    settle::{Settled, Settlement, Verdict, settle},
};
