//! A job's effects in order: what was asked of a provider, and what came back.
//!
//! Owns: the rows of `effects`, their fence, and what each of their states means.
//! Refuses: a start by anyone who does not hold the job's lease.
//! Invariant: a row that `ended` never changes; a row is written before the provider hears of the call.
//! Tables: effects, ledger, provider_pauses, solana_tries.

pub mod ledger;
pub mod mints;
pub mod pauses;
pub mod store;
mod writer;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::writer::{Failed, Writer};
use crate::ids::{Digest, EffectId};

/// What a guest gets to see of a call, and every later attempt again: final answers only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "value")]
pub enum Answer {
    /// The provider did it; the value is the provider module's own.
    Ok(serde_json::Value),
    /// No grant, or a limit of the job: nothing was sent.
    Denied(String),
    /// The request itself is wrong: nothing was sent.
    Invalid(String),
    /// The provider said no and did nothing.
    Rejected(Rejection),
}

/// The code of a refusal that is a person's.
pub const VOID: &str = "void";

/// The provider's own word for its refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    pub code: String,
    pub message: String,
    pub status: Option<u16>,
}

/// How a call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Repeat at will.
    Read,
    /// Repeat under the same effect id.
    Idempotent,
    /// Ask the provider what happened; then repeat under the same effect id, while it surely remembers that.
    Asked,
    /// A repeat might do it twice, and that is accepted.
    Resend,
    /// A repeat might do it twice: a person's decision.
    Once,
}

impl Class {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Asked => "asked",
            Self::Resend => "resend",
            Self::Once => "once",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Idempotent, Self::Asked, Self::Resend, Self::Once].into_iter().find(|c| c.as_str() == text)
    }

    /// A call of this class whose answer was lost concerns a person, if nothing else tells what became of it.
    pub fn doubt_matters(self) -> bool {
        !matches!(self, Self::Read | Self::Resend)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectState {
    /// Sent, or about to be; a host that died leaves it so.
    Started,
    /// Surely did not happen; the place stays open.
    Deferred,
    /// Sent, and the host that sent it knows that no answer will come.
    Doubt,
    /// Answered.
    Ended,
}

impl EffectState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Deferred => "deferred",
            Self::Doubt => "doubt",
            Self::Ended => "ended",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Started, Self::Deferred, Self::Doubt, Self::Ended].into_iter().find(|s| s.as_str() == text)
    }
}

/// One row of the journal, as a later attempt reads it.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub seq: u32,
    pub generation: u32,
    pub effect_id: EffectId,
    pub provider: String,
    pub function: String,
    pub class: Class,
    pub request_hash: [u8; 32],
    pub request: serde_json::Value,
    pub state: EffectState,
    pub tries: u32,
    pub release: Digest,
    /// The guest's clock before the first effect, ms since the epoch.
    pub base_ms: u64,
    pub ended_ms: Option<u64>,
    /// When it was sent for the first time.
    pub first_at: DateTime<Utc>,
    /// How long ago that was, by Postgres's clock when read.
    pub age: std::time::Duration,
    pub started_at: DateTime<Utc>,
    /// How long until its doubt may be settled, by Postgres's clock when read; zero when it may be now.
    pub settle_in: std::time::Duration,
    pub answer: Option<Answer>,
    pub note: Option<String>,
}

/// A row of a finished job's journal, as the archive keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    pub seq: i32,
    pub generation: i32,
    pub effect_id: uuid::Uuid,
    pub provider: String,
    pub function: String,
    pub class: String,
    #[serde(with = "digits")]
    pub request_hash: Vec<u8>,
    pub request: serde_json::Value,
    pub state: String,
    pub tries: i32,
    #[serde(with = "digits")]
    pub release: Vec<u8>,
    pub base_ms: i64,
    /// Absent in what was archived before it was known.
    #[serde(default)]
    pub first_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub doubted: bool,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub answer: Option<serde_json::Value>,
    pub note: Option<String>,
}

/// Bytes as hex digits in JSON.
mod digits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(d)?).map_err(D::Error::custom)
    }
}

impl Restored {
    /// As a later attempt would read it; nobody is sending any more. `None`: a newer version wrote it.
    pub fn recorded(&self) -> Option<Recorded> {
        Some(Recorded {
            seq: u32::try_from(self.seq).ok()?,
            generation: u32::try_from(self.generation).ok()?,
            effect_id: EffectId(self.effect_id),
            provider: self.provider.clone(),
            function: self.function.clone(),
            class: Class::parse(&self.class)?,
            request_hash: self.request_hash.as_slice().try_into().ok()?,
            request: self.request.clone(),
            state: EffectState::parse(&self.state)?,
            tries: u32::try_from(self.tries).ok()?,
            release: Digest::from_slice(&self.release)?,
            base_ms: u64::try_from(self.base_ms).ok()?,
            ended_ms: self.ended_at.and_then(|at| u64::try_from(at.timestamp_millis()).ok()),
            first_at: self.first_at.unwrap_or(self.started_at),
            age: std::time::Duration::ZERO,
            started_at: self.started_at,
            settle_in: std::time::Duration::ZERO,
            answer: self.answer.clone().map(serde_json::from_value).transpose().ok()?,
            note: self.note.clone(),
        })
    }

    /// The provider said no and did nothing. What a person has voided was not its word, and stays as it is.
    pub fn is_rejected(&self) -> bool {
        let code = self.answer.as_ref().and_then(|answer| answer["value"]["code"].as_str());
        self.kind() == Some("rejected") && code != Some(VOID)
    }

    /// It changed something, or it may have.
    pub fn may_have_happened(&self) -> bool {
        self.class != Class::Read.as_str()
            && (matches!(self.state.as_str(), "started" | "doubt") || self.kind() == Some("ok"))
    }

    fn kind(&self) -> Option<&str> {
        self.answer.as_ref()?.get("kind")?.as_str()
    }
}

impl Recorded {
    /// Nobody knows what became of it, and somebody has to.
    pub fn is_open_doubt(&self) -> bool {
        matches!(self.state, EffectState::Started | EffectState::Doubt) && self.class.doubt_matters()
    }

    /// It changed something, or it may have. Such a job neither expires nor frees its key.
    pub fn may_have_happened(&self) -> bool {
        match self.state {
            _ if self.class == Class::Read => false,
            EffectState::Deferred => false,
            EffectState::Started | EffectState::Doubt => true,
            EffectState::Ended => matches!(self.answer, Some(Answer::Ok(_))),
        }
    }
}
