use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Streams of events (`GET /events`, `GET /jobs/{id}/events`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// False: this host gives none.
    pub enabled: bool,
    /// How long events are still written once nobody follows any more, and so how long a client may have been away that goes
    /// on where it was.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// Streams of this host at a time.
    pub streams: usize,
    pub per_tenant: usize,
    pub per_caller: usize,
    /// Events that a client may lag behind; then its stream ends.
    pub buffer: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            enabled: true,
            retention: Duration::from_secs(3600),
            streams: 5_000,
            per_tenant: 1_000,
            per_caller: 100,
            buffer: 1_024,
        }
    }
}

impl Events {
    pub(super) fn findings(&self, out: &mut Vec<String>) {
        // A week is what the table holds; a client that comes back late reads all that it missed.
        if self.retention < Duration::from_secs(1) || self.retention > Duration::from_secs(24 * 3600) {
            out.push("events.retention: at least 1s and at most 24h".to_owned());
        }
        if self.streams == 0 || self.per_tenant == 0 || self.per_caller == 0 {
            out.push("events.streams, events.per_tenant, events.per_caller: must be more than 0 (to have none, enabled = false)".to_owned());
        }
        if !(1..=65_536).contains(&self.buffer) {
            out.push("events.buffer: 1 to 65,536".to_owned());
        }
    }
}
