//! Events that people follow while they happen.
//!
//! Owns: the reader of the outbox, one a node; the streams of clients and what they still miss; and what is told by the way
//! (that a job runs, its progress, its log lines), between nodes too.
//! Refuses: to wait for a client that does not read, and to go on silently where something may be missing.
//! Invariant: a client that goes on from the last id that it saw, on whatever node, is told each later event of the outbox
//! once, or is told that there is a gap.
//! Tables: event_log (outbox is written by `queue` and `submit`).

mod clients;
mod event;
mod hub;
mod live;
mod reader;
mod store;
mod stream;

pub use self::{
    event::{Event, Mark},
    hub::{Filter, FollowError, Hub, Who},
    live::{LISTENS, Live, TOLD},
    stream::Stream,
};

/// Channel: "NODE", events were committed there.
pub const NEWS: &str = "usher_events";
