use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    clock,
    config::GrantSet,
    ids::{Digest, JobId, Lease, Tier},
    journal::{Answer, Recorded},
};

/// What the answers to one job's effects may come to, in bytes: each attempt loads them all, and they are archived in one row.
const MAX_ANSWERS: u64 = 16 << 20;

/// What one attempt knows of its own effects: its place in the journal, its clock, and its call under way.
///
/// Shared by the guest's store, the gate's tasks and the worker, since a call outlives a guest that was dropped.
#[derive(Debug)]
pub struct Attempt {
    pub job: JobId,
    pub tier: Tier,
    pub lease: Lease,
    pub release: Digest,
    pub who: OnBehalf,
    /// Most effects of one attempt.
    pub max_effects: u32,
    /// Of effects that the journal does not know yet.
    pub generation: u32,
    /// The job is to be cancelled: what is in doubt may be asked about, and nothing else is done.
    pub is_ending: bool,
    recorded: BTreeMap<u32, Recorded>,
    next_seq: AtomicU32,
    /// The guest's clock: stands still between effects.
    now_ms: AtomicU64,
    base_ms: u64,
    random: Mutex<u64>,
    under_way: watch::Sender<u32>,
    /// Of all answers that this guest was given, recorded ones too.
    answered_bytes: AtomicU64,
    /// Nobody knows what became of one of its calls, and somebody has to.
    in_doubt: AtomicBool,
}

/// In whose name a guest asks, and what it may. It decides whose account at a provider is used, never the guest.
#[derive(Clone, Debug, Default)]
pub struct OnBehalf {
    /// What is derived from a job's id is the same on each of its attempts.
    pub job: JobId,
    pub grants: Arc<GrantSet>,
    pub tenant: String,
    /// Read from the payload where the operator's profiles tell venues apart.
    pub venue: Option<String>,
}

/// A job as its holder has it.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub job: JobId,
    pub tier: Tier,
    pub lease: Lease,
    pub generation: u32,
    /// It is to be cancelled.
    pub is_ending: bool,
}

impl Attempt {
    pub fn new(held: Held, release: Digest, who: OnBehalf, max_effects: u32, journal: Vec<Recorded>) -> Arc<Self> {
        Self::begun(held, release, who, max_effects, journal, clock::unix_ms())
    }

    /// One that began at a given time, in milliseconds since the epoch. A journal knows better.
    pub fn begun(
        held: Held,
        release: Digest,
        who: OnBehalf,
        max_effects: u32,
        journal: Vec<Recorded>,
        at_ms: u64,
    ) -> Arc<Self> {
        let base_ms = journal.first().map_or(at_ms, |first| first.base_ms);
        // The seed is the job's own random bits, so that every attempt draws the same numbers.
        let (high, low) = held.job.0.as_u64_pair();
        Arc::new(Self {
            job: held.job,
            tier: held.tier,
            lease: held.lease,
            release,
            who,
            max_effects,
            generation: held.generation,
            is_ending: held.is_ending,
            in_doubt: AtomicBool::new(journal.iter().any(Recorded::is_open_doubt)),
            recorded: journal.into_iter().map(|row| (row.seq, row)).collect(),
            next_seq: AtomicU32::new(0),
            now_ms: AtomicU64::new(base_ms),
            base_ms,
            random: Mutex::new(high.rotate_left(17) ^ low),
            under_way: watch::Sender::new(0),
            answered_bytes: AtomicU64::new(0),
        })
    }

    /// The place of the next effect, or why there may be none. Calls of one guest come one after another.
    pub(super) fn take_seq(&self) -> Result<u32, Answer> {
        let seq = self.next_seq.fetch_add(1, Ordering::Relaxed);
        if seq >= self.max_effects {
            // The count is the same on every attempt, so this needs no journal to be replayed.
            return Err(Answer::Denied(format!("this job type may make {} effects", self.max_effects)));
        }
        // As above: what was answered before this one is the same on every attempt.
        if self.answered_bytes.load(Ordering::Relaxed) > MAX_ANSWERS {
            return Err(Answer::Denied(format!(
                "the answers to this job's effects have more than {MAX_ANSWERS} bytes"
            )));
        }
        Ok(seq)
    }

    pub(super) fn recorded(&self, seq: u32) -> Option<&Recorded> {
        self.recorded.get(&seq)
    }

    /// The guest's clock before the first effect, in milliseconds since the epoch.
    pub fn base_ms(&self) -> u64 {
        self.base_ms
    }

    /// The guest's clock moves to the end of the effect that it has just been answered.
    pub(super) fn advance_clock(&self, ended_ms: u64) {
        self.now_ms.store(ended_ms, Ordering::Relaxed);
    }

    /// Milliseconds since the epoch, as this guest may know them.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// splitmix64 (Steele, Lea, Flood 2014): replayable, not secret.
    pub fn random(&self) -> u64 {
        let mut state = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The job has rows in the journal, or may have.
    pub fn has_effects(&self) -> bool {
        !self.recorded.is_empty() || self.next_seq.load(Ordering::Relaxed) > 0
    }

    /// Provider calls of this attempt, those that the journal answered included.
    pub fn effects(&self) -> u32 {
        self.next_seq.load(Ordering::Relaxed)
    }

    /// A provider is being called.
    pub fn is_calling(&self) -> bool {
        *self.under_way.borrow() > 0
    }

    /// An effect may have happened, its answer is not known, and that matters: such a job cannot end by itself.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    pub(super) fn set_in_doubt(&self, in_doubt: bool) {
        self.in_doubt.store(in_doubt, Ordering::Relaxed);
    }

    pub(super) fn count_answer(&self, answer: &Answer) {
        let bytes = match answer {
            Answer::Ok(value) => value.to_string().len(),
            Answer::Denied(message) | Answer::Invalid(message) => message.len(),
            Answer::Rejected(no) => no.code.len() + no.message.len(),
        };
        self.answered_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn call_begins(&self) {
        self.under_way.send_modify(|n| *n += 1);
    }

    pub(super) fn call_ended(&self) {
        self.under_way.send_modify(|n| *n -= 1);
    }

    /// Waits until no call is under way: nobody settles a job whose mail may still be leaving.
    pub async fn quiet(&self, at_most: Duration) {
        let mut calls = self.under_way.subscribe();
        // The sender lives as long as `self`, so the only other outcome is the time-out.
        let _ = tokio::time::timeout(at_most, calls.wait_for(|n| *n == 0)).await;
    }
}
