use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::ids::Tier;

/// Queues by name. The three of the product are there unless the file says otherwise; more may be added.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Queues(pub BTreeMap<String, Queue>);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub tier: Tier,
    /// Retries after the first attempt; 10 means 11 attempts.
    pub retries: u32,
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
    pub backoff: Backoff,
    /// Cap of an exponential delay.
    #[serde(default = "default_max_delay", with = "humantime_serde")]
    pub max_delay: Duration,
    /// From submit on.
    #[serde(with = "humantime_serde")]
    pub expiry: Duration,
    /// How much of a node one tenant's jobs of this queue may take, beyond its first few: more than 0, at most 1.
    #[serde(default = "whole")]
    pub tenant_share: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    Fixed,
    /// delay × 2^(attempt − 1), capped, with jitter.
    Exponential,
}

fn whole() -> f64 {
    1.0
}

fn default_max_delay() -> Duration {
    Duration::from_secs(3600)
}

impl Default for Queues {
    fn default() -> Self {
        let hours = |h: u64| Duration::from_secs(h * 3600);
        let queue = |tier, retries, delay, backoff, expiry| Queue {
            tier,
            retries,
            delay: Duration::from_secs(delay),
            backoff,
            max_delay: default_max_delay(),
            expiry,
            tenant_share: whole(),
        };
        Self(BTreeMap::from([
            ("money".to_owned(), queue(Tier::Money, 10, 2, Backoff::Exponential, hours(24))),
            ("communication".to_owned(), queue(Tier::Communication, 5, 5, Backoff::Fixed, hours(12))),
            ("background".to_owned(), queue(Tier::Background, 2, 10, Backoff::Fixed, hours(6))),
        ]))
    }
}
