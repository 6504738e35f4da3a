use std::time::Duration;

use crate::config::RateLimit;

/// How far ahead of its need a node takes tokens.
pub(super) const SPAN: Duration = Duration::from_millis(100);

/// A limit, in the numbers that buckets are counted in.
///
/// GCRA lets pass at most rate × w + burst in any time w. A token that a node takes ahead is used up to `life` later, so
/// in w those of w + life may be: rate × (w + life) + burst. That is why the burst that buckets are counted with is
/// smaller than the limit's by what is refilled in a `life`; then the limit holds, whenever tokens are used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Terms {
    /// Tokens a second.
    pub rate: f64,
    /// As the limit says it.
    full: u32,
}

impl Terms {
    /// The most that one node takes ahead: none of a bucket that is slow, or has little burst.
    pub fn ahead(self) -> u32 {
        // Whole and small: a burst is at most a million.
        (self.rate * SPAN.as_secs_f64()).floor().min(f64::from(self.full / 2)) as u32
    }

    /// How long a token that was taken ahead is good for.
    pub fn life(self) -> Duration {
        Duration::from_secs_f64(f64::from(self.ahead()) / self.rate)
    }

    /// The burst that the bucket is counted with; at least 1.
    pub fn burst(self) -> u32 {
        self.full - self.ahead()
    }
}

impl From<RateLimit> for Terms {
    fn from(limit: RateLimit) -> Self {
        Self { rate: limit.rate.per_second(), full: limit.burst() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(rate: &str, burst: u32) -> Terms {
        RateLimit { rate: rate.parse().expect("a rate"), burst: Some(burst) }.into()
    }

    #[test]
    fn what_lies_ahead_is_taken_off_the_burst_however_late_it_is_used() {
        for rate in ["1/d", "1/s", "9/s", "25/s", "100/s", "1000/s", "1000000/s"] {
            for burst in [1, 2, 3, 10, 100, 1_000_000] {
                let terms = terms(rate, burst);
                let late = terms.rate * terms.life().as_secs_f64();
                assert!(late + f64::from(terms.burst()) <= f64::from(burst) + 1e-6, "{rate} {burst}");
                assert!(terms.burst() >= 1 && terms.life() <= SPAN, "{rate} {burst}");
            }
        }
    }

    #[test]
    fn slow_buckets_are_asked_each_time_and_busy_ones_a_tenth_of_a_second_ahead() {
        assert_eq!((terms("9/s", 100).ahead(), terms("9/s", 100).burst()), (0, 100));
        assert_eq!((terms("100/s", 100).ahead(), terms("100/s", 100).burst()), (10, 90));
        assert_eq!(terms("100/s", 100).life(), SPAN);
        // Little burst: they die sooner.
        assert_eq!((terms("1000/s", 10).ahead(), terms("1000/s", 10).life()), (5, Duration::from_millis(5)));
        assert_eq!(terms("1000/s", 1).ahead(), 0);
    }
}
