use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// How much this host lets in at once, and for how long it waits for a slow client. (How often a caller may submit is a
/// rate limit, which all hosts share: `rate_limits."submit/…"`.)
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pressure {
    /// Connections at once. Beyond it the one that has been idle for longest is closed; where none is idle, only health
    /// and metrics are answered on some more.
    pub connections: usize,
    /// A request's line and headers must be there this long after their first byte, and that this long after the connection.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// A connection between two requests is closed after this long.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// A body that stands still for this long is given up, and so is one that crawls.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// So is an answer that the client does not take.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// Bytes of request bodies in memory at once. Submits are turned away at this; other requests at a quarter more.
    pub bodies: u64,
    /// Bytes of memory from which on submits are turned away; a tenth above it everything but health and metrics.
    /// Left out: 85 % of what the control group or the machine has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The most live jobs of one tenant, by queue; `*` is every queue that has no number of its own.
    pub live_jobs: BTreeMap<String, u32>,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            connections: 8_192,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
            bodies: 256 << 20,
            memory: None,
            live_jobs: BTreeMap::new(),
        }
    }
}

impl Pressure {
    /// What is wrong with it. `queues`: their names.
    pub(super) fn findings<'a>(&self, queues: impl Iterator<Item = &'a String> + Clone, out: &mut Vec<String>) {
        if !(1..=1_000_000).contains(&self.connections) {
            out.push("pressure.connections: 1 to 1,000,000".to_owned());
        }
        for (name, time) in [
            ("header_timeout", self.header_timeout),
            ("idle_timeout", self.idle_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
        ] {
            if time < Duration::from_millis(100) || time > Duration::from_secs(3_600) {
                out.push(format!("pressure.{name}: 100ms to 1h"));
            }
        }
        if self.bodies < 1 << 10 {
            out.push("pressure.bodies: at least 1 KiB".to_owned());
        }
        for (queue, most) in &self.live_jobs {
            if queue != "*" && !queues.clone().any(|known| known == queue) {
                out.push(format!("pressure.live_jobs.{queue}: there is no queues.{queue}"));
            }
            if *most == 0 {
                out.push(format!("pressure.live_jobs.{queue}: at least 1; leave it out for no limit"));
            }
        }
    }
}
