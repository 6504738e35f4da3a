//! All SQL over `jobs` and `jobs_archive`, by duty.

mod claim;
mod counts;
mod enqueue;
mod limits;
mod live;
mod maintain;
mod moved;
mod operate;
mod read;
mod recorded;
mod releases;
mod settle;
mod standing;

pub use self::{
    claim::{Claimed, claim},
    counts::{Count, add_finished, counts, sample_counts},
    enqueue::{NewRow, Unchecked, forget, insert, lock_unchecked, move_unchecked},
    limits::{Freed, Limit, Line, go_on, limits, set_limit, take_slots},
    live::live,
    maintain::{
        Poll, head, make_archive_days, poll, reap_node, reap_orphans, return_strays, save_cursors, saved_cursors,
        stand_in_line,
    },
    moved::park,
    operate::{
        DeadFilter, Finished, Kept, Live, Redrive, count_dead, hasten, kept, lock, lock_clearable, lock_finished,
        next_dead, paused, redrive, request_cancel, set_paused, unpark,
    },
    read::{get, list, over},
    recorded::{Recording, Stretch, recordings, stretch},
    releases::{
        Pinned, Waiting, give_back, is_owed, live_of, lock_pinned, lock_waiting, naming, pin, request_cancels, waiting,
    },
    settle::{Dead, Settled, Settlement, Verdict, settle},
    standing::oldest_ready,
};
