use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Heartbeats, leases and doubt. Validated against each other: `heartbeat` < `confirm_within` < `dead_after`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// How often a node counts up its beat.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// A node that could not confirm its beat for this long claims nothing and starts no effect.
    #[serde(with = "humantime_serde")]
    pub confirm_within: Duration,
    /// A node whose beat stood still for this long, by the reaper's own clock, is dead.
    #[serde(with = "humantime_serde")]
    pub dead_after: Duration,
    /// How long after a call's deadline its doubt may be settled: a frozen host may still be sending.
    #[serde(with = "humantime_serde")]
    pub doubt_margin: Duration,
    /// Longest pause between looks into an idle queue.
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    /// How long an activation waits for nodes that have its code not ready; then it takes effect without them, and they
    /// do not run its job types. A rollback waits a twelfth of it.
    #[serde(with = "humantime_serde")]
    pub ready_within: Duration,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(3),
            confirm_within: Duration::from_secs(5),
            dead_after: Duration::from_secs(10),
            doubt_margin: Duration::from_secs(5),
            poll: Duration::from_secs(5),
            ready_within: Duration::from_secs(60),
        }
    }
}
