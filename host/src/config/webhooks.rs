use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;

/// Webhooks out. Without a key there are none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// At least 32 bytes: the secrets of all endpoints are derived from it, so all nodes have the same, for ever.
    pub key: Option<Secret>,
    pub user_agent: String,
    /// Of one send, from the look at the name to the end of the answer.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Pauses before the second send, the third and so on; after the last one a delivery has failed.
    #[serde(with = "durations")]
    pub retries: Vec<Duration>,
    /// An endpoint where nothing arrived for this long is disabled.
    #[serde(with = "humantime_serde")]
    pub disable_after: Duration,
    /// How long the secret before a rotation still signs.
    #[serde(with = "humantime_serde")]
    pub overlap: Duration,
    /// Sends under way at once on this node.
    pub concurrency: usize,
    /// Of one endpoint; one at a time while it fails.
    pub per_endpoint: usize,
    /// `host:port` of endpoints that may be private and need no TLS. Unsafe in production.
    pub allow_private: Vec<String>,
}

impl Default for Webhooks {
    fn default() -> Self {
        let minutes = |m: u64| Duration::from_secs(m * 60);
        let hours = |h: u64| minutes(h * 60);
        Self {
            key: None,
            user_agent: concat!("Usher/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeout: Duration::from_secs(10),
            // The schedule that Standard Webhooks recommends: three days and a few hours.
            retries: vec![
                Duration::from_secs(5),
                minutes(5),
                minutes(30),
                hours(2),
                hours(5),
                hours(10),
                hours(14),
                hours(20),
                hours(24),
            ],
            disable_after: hours(5 * 24),
            overlap: hours(24),
            concurrency: 128,
            per_endpoint: 8,
            allow_private: Vec::new(),
        }
    }
}

mod durations {
    use std::time::Duration;

    use humantime_serde::Serde;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(all: &[Duration], s: S) -> Result<S::Ok, S::Error> {
        all.iter().map(|d| Serde::from(*d)).collect::<Vec<_>>().serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Duration>, D::Error> {
        Ok(Vec::<Serde<Duration>>::deserialize(d)?.into_iter().map(Serde::into_inner).collect())
    }
}
