//! Side effects: the gate that every provider call passes, and the providers behind it.
//!
//! Owns: the order of the steps (recorded answer, grant, journal start and fence, deadline, call, journal end), the
//! rules of doubt, and what an attempt knows of its own effects.
//! Refuses: a call without a grant, without a lease, or different from the one journaled at its place.
//! Invariant: a guest sees final answers only; anything else ends the attempt as a [`Stop`].
//! Tables: effects (through `journal`).

pub mod attempt;
pub mod email;
pub mod gate;
pub mod upstream;

use std::{future::Future, time::Duration};

pub use self::{
    attempt::{Attempt, Held},
    gate::Gate,
};
use crate::{
    config::GrantSet,
    ids::EffectId,
    journal::{Answer, Class},
};

/// One way to reach the world. A provider says what a request means, sends it, and reads what came back; when, under
/// which identity and whether again is the gate's business.
pub trait Provider: Send + Sync + 'static {
    /// `effects.provider` and the key in `[grants]`.
    const NAME: &'static str;
    /// What the guest asks, as its WIT record says it.
    type Request: Send;
    /// What will be sent: checked, and bound to a configured profile.
    type Call: Send + Sync + 'static;

    /// Checks grant and request without any I/O. A final answer (`Denied`, `Invalid`) is journaled like any other.
    fn prepare(&self, grants: &GrantSet, request: Self::Request) -> Result<Prepared<Self::Call>, Refused>;

    /// Sends it, once, within `Prepared::timeout`. Never retries by itself. `id` is the same on every try.
    fn call(&self, id: EffectId, call: &Self::Call) -> impl Future<Output = CallEnd> + Send;
}

/// A call that is ready to be journaled and sent.
#[derive(Debug)]
pub struct Prepared<C> {
    pub function: &'static str,
    pub class: Class,
    /// `Class::Once` only: true when the operator chose to send again in doubt.
    pub resend: bool,
    /// All that makes the request what it is, canonical JSON; its sha256 tells determinism. Never stored.
    pub identity: serde_json::Value,
    /// The same for people: no body, no secret, addresses shortened.
    pub redacted: serde_json::Value,
    pub timeout: Duration,
    pub call: C,
}

/// Refused before anything was sent; `identity` and `function` as in [`Prepared`].
#[derive(Debug)]
pub struct Refused {
    pub function: &'static str,
    pub identity: serde_json::Value,
    pub answer: Answer,
}

/// How a call ended, as the provider module understood it. Unknown never means success.
#[derive(Clone, Debug, PartialEq)]
pub enum CallEnd {
    /// Final: `Ok` or `Rejected`.
    Answer(Answer),
    /// It could not be reached, nothing was sent (resolve, connect, TLS, greeting): an outage, burns no attempt.
    Unreachable(String),
    /// It said "not now" and did nothing (4xx of SMTP; 429, 503 and the like): burns an attempt.
    Transient { message: String, retry_after: Option<Duration> },
    /// It was sent and the answer was lost, or is no answer.
    Doubt(String),
}

/// Why an attempt ends inside a host call. The guest never sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// Burns an attempt; the next one after the queue's delay, or after `after` if that is longer.
    Retry { message: String, after: Option<Duration> },
    /// Burns no attempt. `after`: fixed; `None`: growing delay.
    Snooze { message: String, after: Option<Duration> },
    /// In doubt, and a repeat might do it twice: a person decides.
    Park { message: String },
    /// Another request than the journaled one at the same place; the text is a field diff.
    Nondeterministic { message: String },
    /// Somebody wants the job cancelled: it ends without another effect.
    Cancelled,
    /// Somebody else holds the job now, or nobody: drop everything.
    LeaseLost,
}
