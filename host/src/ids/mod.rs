//! Identities and small words that every room shares.
//!
//! Owns: the id types, digests, tiers, priorities, and the names of events.
//! Refuses: bare uuids, strings and integers where one of these is meant.
//! Invariant: an id is never reused, and a child's or an effect's id is a function of its parent's.
//! Tables: none.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[sqlx(transparent)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(s).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A job. uuid v7, so that ids of one moment lie together in the index.
    JobId
);
uuid_id!(
    /// The fence: random for every claim batch, cleared by every settle and reap.
    Lease
);
uuid_id!(
    /// One running host, new at every start.
    NodeId
);
uuid_id!(
    /// One provider call of one job, the same on every attempt.
    EffectId
);

uuid_id!(
    /// A webhook endpoint.
    EndpointId
);
uuid_id!(
    /// Something that a person should know.
    AlertId
);
uuid_id!(
    /// One event on its way to one endpoint: the `webhook-id`, the same on every try.
    DeliveryId
);

uuid_id!(
    /// A service's key: the `keyid` of its signatures. Random, and no secret.
    KeyId
);

/// Namespace of all derived (v5) ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x7d1f_5f0e_6f43_4c5b_9a58_0c2d_6b1e_9a01);

impl JobId {
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The time in it; for an id that is none of ours, the beginning of time.
    pub fn made_at(self) -> DateTime<Utc> {
        let millis = self.0.as_bytes()[..6].iter().fold(0_i64, |ms, byte| ms << 8 | i64::from(*byte));
        match self.0.get_version_num() {
            7 | 8 => DateTime::from_timestamp_millis(millis).unwrap_or_default(),
            _ => DateTime::default(),
        }
    }

    /// The n-th child of this job. A repeated attempt names the same children.
    ///
    /// A uuid v8: the parent's time, then a hash of (parent, n), so that children lie and list beside their parent.
    #[must_use]
    pub fn child(self, n: u32) -> Self {
        let mut bytes = Uuid::new_v5(&NAMESPACE, format!("child/{self}/{n}").as_bytes()).into_bytes();
        bytes[..6].copy_from_slice(&self.0.as_bytes()[..6]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// `uuid_v5(job, seq, generation)`: never the attempt, the clock or the code version.
    #[must_use]
    pub fn effect(self, seq: u32, generation: u32) -> EffectId {
        EffectId(Uuid::new_v5(&NAMESPACE, format!("effect/{self}/{seq}/{generation}").as_bytes()))
    }

    /// What this job tells one endpoint. `what` names the event within the job, whichever attempt or host says it.
    #[must_use]
    pub fn delivery(self, what: &str, endpoint: EndpointId) -> DeliveryId {
        DeliveryId(Uuid::new_v5(&NAMESPACE, format!("webhook/{self}/{what}/{endpoint}").as_bytes()))
    }
}

impl AlertId {
    /// What tells one endpoint of it the n-th time, whichever host says it.
    #[must_use]
    pub fn delivery(self, n: i32, endpoint: EndpointId) -> DeliveryId {
        DeliveryId(Uuid::new_v5(&NAMESPACE, format!("webhook/alert/{self}/{n}/{endpoint}").as_bytes()))
    }
}

impl Default for JobId {
    fn default() -> Self {
        Self::new()
    }
}

impl Lease {
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl NodeId {
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

/// sha256 of a release's bytes; shown as `sha256:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From a `bytea` column that CHECKs its length; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let digits = s.strip_prefix("sha256:").unwrap_or(s);
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|e| format!("not a sha256 digest: {e}"))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Digest {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String);
        text.pattern(Some("^sha256:[0-9a-f]{64}$")).description(Some("Of a release's bytes.")).into()
    }
}

impl utoipa::ToSchema for Digest {}

/// Storage class of a queue: how much of an acknowledged job a crash of Postgres may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "u8")]
pub enum Tier {
    /// Logged, synchronous commit: nothing.
    Money = 1,
    /// Logged, asynchronous commit: at most the last ~0.6 s.
    Communication = 2,
    /// UNLOGGED: everything live.
    Background = 3,
}

impl Tier {
    pub const ALL: [Self; 3] = [Self::Money, Self::Communication, Self::Background];

    pub fn as_i16(self) -> i16 {
        self as i16
    }

    /// Retention class of the archive: tier 3 is kept for 7 days, the others for 30.
    pub fn keep(self) -> &'static str {
        match self {
            Self::Money | Self::Communication => "d30",
            Self::Background => "d7",
        }
    }
}

impl From<Tier> for u8 {
    fn from(tier: Tier) -> Self {
        tier as Self
    }
}

impl TryFrom<i16> for Tier {
    type Error = String;
    fn try_from(n: i16) -> Result<Self, String> {
        match n {
            1 => Ok(Self::Money),
            2 => Ok(Self::Communication),
            3 => Ok(Self::Background),
            _ => Err(format!("tier must be 1, 2 or 3, not {n}")),
        }
    }
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::try_from(i16::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// The five priorities, higher first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Background = 1,
    Low = 3,
    Normal = 5,
    High = 7,
    Critical = 10,
}

impl Priority {
    pub fn as_i16(self) -> i16 {
        self as i16
    }
}

impl TryFrom<i16> for Priority {
    type Error = String;
    fn try_from(n: i16) -> Result<Self, String> {
        Ok(match n {
            1 => Self::Background,
            3 => Self::Low,
            5 => Self::Normal,
            7 => Self::High,
            10 => Self::Critical,
            _ => return Err(format!("no priority has the number {n}")),
        })
    }
}

/// The event that hosts publish themselves, when a job ends dead.
pub const OPERATION_FAILED: &str = "operation.failed";

/// 1 to 128 characters: words of letters, digits, `-` and `_`, with dots between them.
pub fn is_event_type(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=128).contains(&name.len()) && name.split('.').all(|part| !part.is_empty() && part.chars().all(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_events_are_words_with_dots() {
        for name in ["payment.completed", "nft.minted", "a", "my-app.thing_done.v2", "X.Y"] {
            assert!(is_event_type(name), "{name}");
        }
        for name in ["", ".", "a.", ".a", "a..b", "a b", "a\"b", "é", "a\n", &"x".repeat(129)] {
            assert!(!is_event_type(name), "{name}");
        }
    }

    #[test]
    fn derived_ids_depend_on_nothing_but_their_parts() {
        let job = JobId(Uuid::from_u128(7));
        assert_eq!(job.effect(0, 0), job.effect(0, 0));
        assert_ne!(job.effect(0, 0), job.effect(0, 1));
        assert_ne!(job.effect(0, 0), job.effect(1, 0));
        assert_ne!(job.child(0), job.child(1));
        let (one, two) = (EndpointId(Uuid::from_u128(1)), EndpointId(Uuid::from_u128(2)));
        assert_eq!(job.delivery("0", one), job.delivery("0", one));
        assert_ne!(job.delivery("0", one), job.delivery("0", two));
        assert_ne!(job.delivery("0", one), job.delivery("1", one));
    }

    /// Providers know calls by these names, and hosts of before have given them.
    #[test]
    fn the_name_of_an_effect_is_the_same_in_every_version() {
        let job = JobId(Uuid::from_u128(7));
        assert_eq!(job.effect(0, 0).to_string(), "a48b5c24-50dd-5d9f-a9b6-4e73aae210d4");
        assert_eq!(job.effect(3, 1).to_string(), "e0893aea-e7a7-5543-8040-bfe8bcce2f40");
    }

    #[test]
    fn an_id_tells_when_its_job_was_made() {
        let age = Utc::now() - JobId::new().made_at();
        assert!(age < chrono::TimeDelta::seconds(5) && age > chrono::TimeDelta::seconds(-5));
        let job = JobId::new();
        assert_eq!(job.child(3).made_at(), job.made_at());
        assert_eq!(JobId(Uuid::nil()).made_at(), DateTime::<Utc>::default());
    }

    #[test]
    fn a_digest_survives_its_text_form() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("sha256:zz".parse::<Digest>().is_err());
    }
}
