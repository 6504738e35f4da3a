use std::{sync::Arc, time::Duration};

use super::{
    guest_log::GuestLog,
    limits::{Cpu, Memory},
    wasi::Wasi,
};
use crate::{
    effects::{Attempt, Stop, World},
    submit::{ChildOf, PreparedJob, Submitter},
    webhooks::Publication,
};

/// The host's side of one attempt.
pub(super) struct State {
    pub attempt: Arc<Attempt>,
    pub world: World,
    pub submitter: Submitter,
    pub memory: Memory,
    pub cpu: Arc<Cpu>,
    pub cpu_limit: Duration,
    pub children: Vec<PreparedJob>,
    pub parent: ChildOf,
    pub published: Vec<Publication>,
    pub log: GuestLog,
    /// Made when a guest first asks for something of it.
    pub wasi: Option<Box<Wasi>>,
    /// Why a host call ended the attempt.
    pub stop: Option<Stop>,
}

/// An error that no guest can catch.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    /// Reason in `State::stop`.
    #[error("the attempt was ended inside a host call")]
    Stopped,
    #[error("the CPU budget is used up")]
    Cpu,
    /// The host's memory for guests, not the job's own limit.
    #[error("this host's memory for guests (runtime.memory_budget) is used up")]
    Crowded,
    /// A call of an import that the manifest says is never called.
    #[error("{0} is not there: the manifest names it in plugin.unused_imports")]
    NotThere(String),
}
