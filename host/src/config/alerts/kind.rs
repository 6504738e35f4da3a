use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How bad an alert is. `info` makes no mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleKind {
    /// Jobs that are ready in a queue.
    QueueDepth,
    /// Since when the job that is ready for longest is.
    OldestReady,
    /// Of the jobs of a queue that ended within the window, the part that ended dead.
    FailureRate,
    /// Jobs of a type that ended dead within the window.
    DeadJobs,
    /// Effects of a provider that wait for a person.
    EffectInDoubt,
    /// Calls of a provider that wait in line, or for the provider.
    ProviderLimited,
    /// For how long a provider is paused.
    ProviderPaused,
    /// Nodes that died within the window.
    NodeLost,
    /// For how long a plugin's release is in quarantine and nothing was activated since.
    ReleaseQuarantined,
    /// Age of the oldest transaction that keeps PostgreSQL from cleaning up.
    PostgresXmin,
    /// WAL that is kept for a slot, is not archived, or is there at all.
    PostgresWal,
    /// Size of the database.
    PostgresDisk,
}

/// What a threshold is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    /// Seconds.
    Time,
    /// Of one.
    Share,
    Bytes,
}

impl RuleKind {
    pub const ALL: [Self; 12] = [
        Self::QueueDepth,
        Self::OldestReady,
        Self::FailureRate,
        Self::DeadJobs,
        Self::EffectInDoubt,
        Self::ProviderLimited,
        Self::ProviderPaused,
        Self::NodeLost,
        Self::ReleaseQuarantined,
        Self::PostgresXmin,
        Self::PostgresWal,
        Self::PostgresDisk,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueDepth => "queue-depth",
            Self::OldestReady => "oldest-ready",
            Self::FailureRate => "failure-rate",
            Self::DeadJobs => "dead-jobs",
            Self::EffectInDoubt => "effect-in-doubt",
            Self::ProviderLimited => "provider-limited",
            Self::ProviderPaused => "provider-paused",
            Self::NodeLost => "node-lost",
            Self::ReleaseQuarantined => "release-quarantined",
            Self::PostgresXmin => "postgres-xmin",
            Self::PostgresWal => "postgres-wal",
            Self::PostgresDisk => "postgres-disk",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    pub fn unit(self) -> Unit {
        match self {
            Self::QueueDepth | Self::DeadJobs | Self::EffectInDoubt | Self::ProviderLimited | Self::NodeLost => {
                Unit::Count
            }
            Self::OldestReady | Self::ProviderPaused | Self::ReleaseQuarantined | Self::PostgresXmin => Unit::Time,
            Self::FailureRate => Unit::Share,
            Self::PostgresWal | Self::PostgresDisk => Unit::Bytes,
        }
    }

    /// Its window is the time in which it counts, and not how long something must last.
    pub fn counts(self) -> bool {
        matches!(self, Self::FailureRate | Self::DeadJobs | Self::NodeLost)
    }

    /// It counts what happened one by one: what a person has dealt with is not counted again.
    pub fn forgets(self) -> bool {
        matches!(self, Self::DeadJobs | Self::NodeLost)
    }

    /// Keys that narrow a rule of this kind.
    pub fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::QueueDepth | Self::OldestReady | Self::FailureRate => &["queue"],
            Self::DeadJobs => &["queue", "tier", "type", "tenant"],
            Self::EffectInDoubt | Self::ProviderLimited | Self::ProviderPaused => &["provider", "tenant"],
            Self::ReleaseQuarantined => &["plugin"],
            Self::NodeLost | Self::PostgresXmin | Self::PostgresWal | Self::PostgresDisk => &[],
        }
    }
}

impl Unit {
    /// As people read it.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Count => format!("{value:.0}"),
            Self::Time => time(value),
            Self::Share => format!("{:.1} %", value * 100.0),
            Self::Bytes => bytes(value),
        }
    }
}

fn time(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX).as_secs();
    match whole {
        0..=119 => format!("{whole} s"),
        120..=7_199 => format!("{} min", whole / 60),
        _ => format!("{} h", whole / 3600),
    }
}

const SIZES: [(&str, f64); 4] =
    [("TiB", 1_099_511_627_776.0), ("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1024.0)];

fn bytes(value: f64) -> String {
    match SIZES.into_iter().find(|(_, size)| value >= *size) {
        Some((name, size)) => format!("{:.1} {name}", value / size),
        None => format!("{value:.0} B"),
    }
}

/// `10GiB`, `512 MiB`.
pub(super) fn parse_bytes(text: &str) -> Option<f64> {
    let (number, size) = SIZES.into_iter().find_map(|(name, size)| Some((text.strip_suffix(name)?, size)))?;
    let number = number.trim_end();
    let is_plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    number.parse::<u32>().ok().filter(|_| is_plain).map(|number| f64::from(number) * size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_their_unit() {
        assert_eq!(Unit::Count.show(12.0), "12");
        assert_eq!(Unit::Time.show(61.4), "61 s");
        assert_eq!(Unit::Time.show(900.0), "15 min");
        assert_eq!(Unit::Time.show(90_000.0), "25 h");
        assert_eq!(Unit::Share.show(0.125), "12.5 %");
        assert_eq!(Unit::Bytes.show(1_610_612_736.0), "1.5 GiB");
        assert_eq!(Unit::Bytes.show(12.0), "12 B");
    }

    #[test]
    fn sizes_are_whole_and_have_a_unit() {
        assert_eq!(parse_bytes("10GiB"), Some(10.0 * 1_073_741_824.0));
        assert_eq!(parse_bytes("512 KiB"), Some(524_288.0));
        for bad in ["10", "10GB", "1.5GiB", "GiB", "-1GiB", "+1GiB", ""] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in RuleKind::ALL {
            assert_eq!(RuleKind::of(kind.as_str()), Some(kind));
        }
        assert_eq!(RuleKind::of("queue_depth"), None);
    }
}
