//! The clocks of the host.
//!
//! Owns: the only places that read a clock other than Postgres's.
//! Refuses: wall time in decisions. Leases and due times compare on Postgres's clock; deadlines of calls on `Boottime`.
//! Invariant: `Boottime` goes on while the machine sleeps (Rust's `Instant` does not), so a frozen host finds its
//! deadlines passed when it wakes.
//! Tables: none.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A point on CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boottime(Duration);

impl Boottime {
    pub fn now() -> Self {
        Self(read(ClockId::Boottime))
    }

    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    /// Zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0 + d)
    }
}

/// CPU time that the calling thread has used.
pub fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time that the process has used.
pub fn process_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// Milliseconds since the Unix epoch, for guests and people.
pub fn unix_ms() -> u64 {
    u64::try_from(read(ClockId::Realtime).as_millis()).unwrap_or(u64::MAX)
}

fn read(clock: ClockId) -> Duration {
    let t = clock_gettime(clock);
    // Both parts are non-negative for the clocks above on any machine whose date is after 1970.
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}
