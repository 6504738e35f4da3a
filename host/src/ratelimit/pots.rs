use std::collections::HashMap;

use super::{Bucket, terms::SPAN};
use crate::clock::Boottime;

/// Fewer calls in a span than this are asked for one by one: most of what was taken ahead for them would die.
const BUSY: u32 = 4;
/// Pots beyond this are looked through for those that nobody uses any more.
const MANY: usize = 1_024;

/// Tokens that this node has ahead, and what it uses.
#[derive(Debug, Default)]
pub(super) struct Pots(HashMap<Bucket, Pot>);

#[derive(Debug)]
struct Pot {
    tokens: u32,
    /// They are good until then.
    until: Boottime,
    /// Calls in the span that ends then, and in the one before.
    ends: Boottime,
    used: u32,
    before: u32,
}

impl Pots {
    /// A call needs so many: counts that, and tells until when those are good that it gets, if there are as many.
    pub fn take(&mut self, bucket: &Bucket, count: u32, now: Boottime) -> Option<Boottime> {
        if self.0.len() >= MANY && !self.0.contains_key(bucket) {
            self.0.retain(|_, pot| now < pot.ends.plus(SPAN));
        }
        let new = || Pot { tokens: 0, until: now, ends: now.plus(SPAN), used: 0, before: 0 };
        let pot = self.0.entry(bucket.clone()).or_insert_with(new);
        if now >= pot.ends {
            pot.before = if now < pot.ends.plus(SPAN) { pot.used } else { 0 };
            pot.used = 0;
            pot.ends = now.plus(SPAN);
        }
        pot.used = pot.used.saturating_add(count);
        if pot.tokens < count || now >= pot.until {
            return None;
        }
        pot.tokens -= count;
        Some(pot.until)
    }

    /// It did not pass after all. Among younger ones it would live too long.
    pub fn give_back(&mut self, bucket: &Bucket, count: u32, until: Boottime) {
        if let Some(pot) = self.0.get_mut(bucket).filter(|pot| pot.until == until) {
            pot.tokens += count;
        }
    }

    /// How many are here.
    pub fn ahead(&self, bucket: &Bucket, now: Boottime) -> u32 {
        self.0.get(bucket).filter(|pot| now < pot.until).map_or(0, |pot| pot.tokens)
    }

    /// How many it is worth to have ahead: what was used in a span lately.
    pub fn wanted(&self, bucket: &Bucket) -> u32 {
        self.0.get(bucket).map(|pot| pot.used.max(pot.before)).filter(|used| *used >= BUSY).unwrap_or(0)
    }

    /// What is left of earlier ones dies with it.
    pub fn fill(&mut self, bucket: &Bucket, tokens: u32, until: Boottime) {
        if let Some(pot) = self.0.get_mut(bucket) {
            (pot.tokens, pot.until) = (tokens, until);
        }
    }

    /// Buckets that have tokens here, or had some lately.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn spill(&mut self, bucket: &Bucket) {
        self.0.remove(bucket);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tokens_are_used_once_and_die_with_their_time() {
        let (mut pots, bucket, now) = (Pots::default(), Bucket::provider("stripe"), Boottime::now());
        assert_eq!(pots.take(&bucket, 1, now), None);
        let until = now.plus(SPAN);
        pots.fill(&bucket, 2, until);
        assert_eq!(pots.take(&bucket, 1, now), Some(until));
        pots.give_back(&bucket, 1, until);
        pots.give_back(&bucket, 1, now);
        let taken = [(); 3].map(|()| pots.take(&bucket, 1, now));
        assert_eq!(taken, [Some(until), Some(until), None]);
        pots.fill(&bucket, 2, until);
        assert_eq!(pots.take(&bucket, 1, until), None, "they are dead");
        pots.fill(&bucket, 2, until.plus(SPAN));
        pots.spill(&bucket);
        assert_eq!(pots.take(&bucket, 1, until), None, "they are gone");
    }

    #[test]
    fn as_many_are_wanted_as_were_used_lately_and_none_by_few_calls() {
        let (mut pots, bucket, start) = (Pots::default(), Bucket::provider("stripe"), Boottime::now());
        let mut calls = |n: u32, after: Duration| {
            for _ in 0..n {
                pots.take(&bucket, 1, start.plus(after));
            }
            pots.wanted(&bucket)
        };
        assert_eq!(calls(3, Duration::ZERO), 0);
        assert_eq!(calls(7, Duration::ZERO), 10);
        assert_eq!(calls(1, SPAN), 10, "by the span before");
        assert_eq!(calls(1, SPAN * 4), 0, "a long time ago");
    }
}
