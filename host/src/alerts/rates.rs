use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use chrono::NaiveDate;
use serde::Deserialize;

/// Jobs of a queue that ended on a UTC day, so far.
#[derive(Clone, Debug, Deserialize)]
pub struct Ended {
    pub day: NaiveDate,
    pub queue: String,
    pub ended: i64,
    pub dead: i64,
}

/// The counts of ended jobs as one node saw them go up: of the last minutes they say what a day's sum does not.
#[derive(Debug, Default)]
pub struct Rates {
    /// Oldest first.
    past: VecDeque<(Instant, Sums)>,
}

/// Ended and dead, by day and queue.
type Sums = HashMap<(NaiveDate, String), (i64, i64)>;

impl Rates {
    /// What was seen now; what is older than `longest` is needed no more.
    pub fn note(&mut self, now: Instant, longest: Duration, ended: &[Ended]) {
        let sums = ended.iter().map(|e| ((e.day, e.queue.clone()), (e.ended, e.dead))).collect();
        self.past.push_back((now, sums));
        // One that is older stays: the window begins with it.
        while self.past.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= longest) {
            self.past.pop_front();
        }
    }

    /// Another node looks now.
    pub fn forget(&mut self) {
        self.past.clear();
    }

    /// Ended and dead jobs of each queue within the window, or since this node began to look.
    pub fn within(&self, window: Duration) -> BTreeMap<String, (i64, i64)> {
        let mut found: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let (Some((now, sums)), Some((_, oldest))) = (self.past.back(), self.past.front()) else { return found };
        let begun =
            self.past.iter().rev().find(|(at, _)| now.duration_since(*at) >= window).map_or(oldest, |(_, sums)| sums);
        for (place, (ended, dead)) in sums {
            let (ended_then, dead_then) = begun.get(place).copied().unwrap_or_default();
            let sum = found.entry(place.1.clone()).or_default();
            sum.0 += (ended - ended_then).max(0);
            sum.1 += (dead - dead_then).max(0);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(day: u32, ended: i64, dead: i64) -> Ended {
        Ended { day: NaiveDate::from_ymd_opt(2026, 1, day).expect("a day"), queue: "money".to_owned(), ended, dead }
    }

    #[test]
    fn a_window_counts_what_was_added_in_it_also_over_midnight() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let minute = Duration::from_secs(60);
        assert!(rates.within(minute).is_empty());
        rates.note(start, minute * 10, &[ended(1, 100, 10)]);
        assert_eq!(rates.within(minute)["money"], (0, 0), "what was there before counts for nothing");
        rates.note(start + minute, minute * 10, &[ended(1, 130, 40)]);
        assert_eq!(rates.within(minute)["money"], (30, 30));
        rates.note(start + minute * 2, minute * 10, &[ended(1, 131, 40), ended(2, 5, 5)]);
        assert_eq!(rates.within(minute)["money"], (6, 5));
        assert_eq!(rates.within(minute * 2)["money"], (36, 35));
        assert_eq!(rates.within(minute * 60)["money"], (36, 35), "since the first look");
    }

    #[test]
    fn what_no_window_needs_is_forgotten() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        for n in 0..100 {
            rates.note(start + Duration::from_secs(n), Duration::from_secs(10), &[ended(1, 0, 0)]);
        }
        assert_eq!(rates.past.len(), 11);
        rates.forget();
        assert!(rates.within(Duration::from_secs(1)).is_empty());
    }
}
