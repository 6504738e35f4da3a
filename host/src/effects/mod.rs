//! Side effects: the gate that every provider call passes, and the providers behind it.
//!
//! Owns: the order of the steps (recorded answer, grant, journal start and fence, deadline, call, journal end), the
//! rules of doubt, and what an attempt knows of its own effects.
//! Refuses: a call without a grant, without a lease, or different from the one journaled at its place.
//! Invariant: a guest sees final answers only; anything else ends the attempt as a [`Stop`].
//! Tables: effects, ledger, provider_pauses, solana_tries (through `journal`).

pub mod attempt;
mod card;
pub mod email;
pub mod gate;
pub mod push;
pub mod script;
pub mod sms;
#[cfg(feature = "solana")]
pub mod solana;
pub mod stripe;
pub mod upstream;
mod world;

use std::{future::Future, time::Duration};

use chrono::{DateTime, Utc};

pub use self::{
    attempt::{Attempt, Held, OnBehalf},
    gate::Gate,
    script::Script,
    world::World,
};
use crate::{
    ids::EffectId,
    journal::{Answer, Class, ledger},
    ratelimit::Bucket,
};

/// One way to reach the world. A provider says what a request means, sends it, reads what came back, and knows how to
/// ask about a call whose answer was lost; when, under which identity and whether again is the gate's business.
pub trait Provider: Send + Sync + 'static {
    /// `effects.provider` and the key in `[grants]`.
    const NAME: &'static str;
    /// What the guest asks, as its WIT record says it.
    type Request: Send;
    /// What will be sent: checked, and bound to a configured profile.
    type Call: Send + Sync + 'static;

    /// Checks grant and request without any I/O. A final answer (`Denied`, `Invalid`) is journaled like any other.
    fn prepare(&self, who: &OnBehalf, request: Self::Request) -> Result<Prepared<Self::Call>, Refused>;

    /// Whether it is worth trying now: asked before anything is written down, so that a service that is known to be away costs no
    /// commit. What it gives is dropped when the call has ended, or has not been made.
    fn admit(&self, _call: &Self::Call) -> impl Future<Output = Result<Admitted, Away>> + Send {
        std::future::ready(Ok(Admitted::default()))
    }

    /// Sends it, once, within `Prepared::timeout`. Never retries by itself.
    fn call(&self, sending: Sending, call: &Self::Call) -> impl Future<Output = CallEnd> + Send;

    /// Asks what became of a call whose sender is surely gone. For `Class::Asked`.
    fn ask(&self, _id: EffectId, _sent: Sent, _call: &Self::Call) -> impl Future<Output = Asked> + Send {
        std::future::ready(Asked::Unclear("this provider cannot be asked".to_owned()))
    }

    /// Whether this answer to a repeat says what became of the call as a whole. An earlier try, whose answer was lost, may have
    /// happened all the same.
    fn settles(&self, _call: &Self::Call, _answer: &Answer) -> bool {
        true
    }

    /// What finance is told of an `Answer::Ok` with this value; `None`: it moved no money.
    fn ledger(&self, _call: &Self::Call, _value: &serde_json::Value) -> Option<ledger::Line> {
        None
    }
}

/// A call that is ready to be journaled and sent.
#[derive(Debug)]
pub struct Prepared<C> {
    pub function: &'static str,
    pub class: Class,
    /// All that makes the request what it is, canonical JSON; its sha256 tells determinism. Never stored.
    pub identity: serde_json::Value,
    /// The same for people: no body, no secret, addresses shortened.
    pub redacted: serde_json::Value,
    pub timeout: Duration,
    /// How long after it was first sent the other side surely still knows it by its effect id. For `Class::Asked` and
    /// `Class::Idempotent`.
    pub remembers: Duration,
    /// The rate limit of what it goes to, beside those of the provider and the tenant.
    pub bucket: Bucket,
    pub call: C,
}

/// A call that may be made, with what its provider keeps for as long.
#[derive(Default)]
pub struct Admitted {
    _kept: Option<Box<dyn Send + Sync>>,
}

impl Admitted {
    pub fn keeping(kept: impl Send + Sync + 'static) -> Self {
        Self { _kept: Some(Box::new(kept)) }
    }
}

/// An outage that is known of: burns no attempt.
#[derive(Debug)]
pub struct Away {
    pub message: String,
    /// Absent: a growing delay.
    pub after: Option<Duration>,
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
    Doubt { message: String, retry_after: Option<Duration> },
    /// The same, and neither a repeat nor a question will ever tell.
    Unknown(String),
}

impl CallEnd {
    pub fn doubt(message: impl Into<String>) -> Self {
        Self::Doubt { message: message.into(), retry_after: None }
    }
}

/// Which effect is sent, and which try of it this is.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// The same on every try.
    pub id: EffectId,
    /// `effects.tries`, as this try's start left it.
    pub try_no: i32,
}

/// When a call in doubt was sent, by Postgres's clock.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
}

/// What a provider says about a call in doubt.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// It happened, or was refused: this was its answer.
    Answer(Answer),
    /// There is nothing of it.
    Absent,
    /// It cannot be told.
    Unclear(String),
    /// It could not be asked now.
    NotNow { message: String, after: Option<Duration> },
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

/// By name: what can be paused.
pub const PROVIDERS: [&str; 6] =
    [email::Smtp::NAME, push::Push::NAME, sms::Sms::NAME, "solana", stripe::Stripe::NAME, upstream::Http::NAME];

/// An answer that a person gives in a provider's place, in the provider's own shape.
#[derive(Debug, PartialEq)]
pub struct Told {
    pub value: serde_json::Value,
    pub line: Option<ledger::Line>,
}

/// `request` is the redacted one. An error says what is missing, with a JSON pointer.
pub fn by_person(
    provider: &str,
    function: &str,
    request: &serde_json::Value,
    answer: &serde_json::Value,
) -> Result<Told, String> {
    match provider {
        stripe::Stripe::NAME => stripe::by_person(function, request, answer),
        #[cfg(feature = "solana")]
        solana::Mints::NAME => solana::by_person(request, answer),
        email::Smtp::NAME => email::by_person(request, answer),
        push::Push::NAME => push::by_person(answer),
        sms::Sms::NAME => sms::by_person(answer),
        upstream::Http::NAME => match upstream::Response::from_answer(answer.clone()) {
            Some(_) => Ok(Told { value: answer.clone(), line: None }),
            None => Err("/answer: an object of status, headers (pairs) and body (base64)".to_owned()),
        },
        other => Err(format!("/answer: this host does not know the provider {other}")),
    }
}

/// An HTTP client for one of the operator's services: no proxy from the environment, no redirects, and never a retry of
/// its own, so that a call is sent once, to where the operator said. (Decompression is not compiled in.)
fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .timeout(timeout)
        // What many calls at once have opened is there for the next ones: a connection costs more than a call.
        .pool_max_idle_per_host(256)
        .user_agent(concat!("Usher/", env!("CARGO_PKG_VERSION")))
        .build()
}
