use std::time::Duration;

use rand::RngExt;

/// When a delivery is tried again.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// Before the second send, the third and so on.
    pub pauses: Vec<Duration>,
}

impl Schedule {
    /// The pause after this many sends, a fifth more or less so that those of one outage do not come back together.
    /// `None`: that was the last one.
    pub fn after(&self, tries: i32) -> Option<Duration> {
        let n = usize::try_from(tries.max(1) - 1).unwrap_or(usize::MAX);
        Some(self.pauses.get(n)?.mul_f64(rand::rng().random_range(0.8..=1.2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Webhooks;

    #[test]
    fn pauses_grow_over_three_days_and_then_end() {
        let schedule = Schedule { pauses: Webhooks::default().retries };
        let mut total = Duration::ZERO;
        let mut last = Duration::ZERO;
        for tries in 1..=9 {
            let pause = schedule.after(tries).expect("one more");
            assert!(pause > last.mul_f64(0.6), "{tries}: {pause:?} after {last:?}");
            (last, total) = (pause, total + pause);
        }
        assert_eq!(schedule.after(10), None);
        let days = total.as_secs_f64() / 86_400.0;
        assert!((2.5..=3.8).contains(&days), "{days} days");
    }
}
