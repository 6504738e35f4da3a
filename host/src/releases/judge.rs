use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::{config::Quarantine, ids::JobId};

/// Whose a job is: a hash of its tenant. One node tells it the others, and no names.
pub type Whose = u64;

/// How the last jobs of a release ended on this node: whether the release itself failed (a trap, a limit). What a guest
/// says of its job, and what a provider does, is no fault of the release.
#[derive(Debug, Default)]
pub struct Window {
    /// Of the activation that they ran under; 0: it did not serve.
    pub generation: i64,
    /// Tenants for whom the release did well, maybe before anything was counted.
    pub vouchers: Vec<Whose>,
    /// One entry a job, its newest: a job that traps on each of its attempts says no more than once that it does.
    last: VecDeque<Entry>,
    bad: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    job: JobId,
    whose: Whose,
    bad: bool,
}

impl Window {
    /// Another activation begins with a clean slate.
    pub fn of(&mut self, generation: i64) -> &mut Self {
        if self.generation != generation {
            *self = Self { generation, ..Self::default() };
        }
        self
    }

    pub fn add(&mut self, job: JobId, whose: Whose, bad: bool, settings: &Quarantine) {
        if let Some(at) = self.last.iter().position(|entry| entry.job == job) {
            self.take(at);
        }
        if self.last.len() >= settings.of as usize {
            self.take(0);
        }
        self.last.push_back(Entry { job, whose, bad });
        self.bad += u32::from(bad);
    }

    fn take(&mut self, at: usize) {
        if let Some(Entry { bad: true, .. }) = self.last.remove(at) {
            self.bad -= 1;
        }
    }

    /// One of its last jobs was bad.
    pub fn is_flawed(&self) -> bool {
        self.bad > 0
    }

    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for entry in &self.last {
            tally.add(entry.whose, Count { bad: u32::from(entry.bad), all: 1 });
        }
        for whose in &self.vouchers {
            tally.add(*whose, Count::default());
        }
        tally
    }
}

/// How the last jobs of a release ended, by tenant. One of whom none is counted vouches for it.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<Whose, Count>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    bad: u32,
    all: u32,
}

impl Count {
    /// One who vouches says it once.
    fn voices(self) -> u32 {
        self.all.max(1)
    }
}

impl Tally {
    fn add(&mut self, whose: Whose, more: Count) {
        let count = self.0.entry(whose).or_default();
        count.bad = count.bad.saturating_add(more.bad);
        count.all = count.all.saturating_add(more.all);
    }

    /// How many were bad, of how many. While the jobs of the others do well, no tenant has more than a third of the bad ones
    /// that stop a release: whoever found a payload that traps must not take a plugin from all the others.
    pub fn counts(&self, settings: &Quarantine) -> (u32, u32) {
        let most = (settings.bad / 3).max(1);
        let all_bad: u32 = self.0.values().map(|count| count.bad).sum();
        let voices: u32 = self.0.values().map(|count| count.voices()).sum();
        let (mut bad, mut counted) = (0, 0);
        for own in self.0.values() {
            let (others_bad, others) = (all_bad - own.bad, voices - own.voices());
            let is_alone_with_it = others > 0 && !settings.is_too_many(others_bad, others);
            let beyond = if is_alone_with_it { own.bad.saturating_sub(most) } else { 0 };
            bad += own.bad - beyond;
            counted += own.all.saturating_sub(beyond);
        }
        (bad, counted)
    }

    /// For the other nodes: `[bad, counted]` by tenant's hash.
    pub fn told(&self) -> Value {
        let told = self.0.iter().map(|(whose, count)| (format!("{whose:016x}"), json!([count.bad, count.all])));
        Value::Object(told.collect())
    }

    /// What another node told.
    pub fn hear(&mut self, told: &Value) {
        for (whose, count) in told.as_object().into_iter().flatten() {
            let Ok(whose) = Whose::from_str_radix(whose, 16) else { continue };
            let number = |at: usize| count.get(at).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
            self.add(whose, Count { bad: number(0).unwrap_or(0), all: number(1).unwrap_or(0) });
        }
    }
}

impl Quarantine {
    /// Whether so many bad ones of so many jobs, of one node or of all together, stop a release.
    pub fn trips(&self, bad: u32, counted: u32) -> bool {
        self.bad > 0 && bad >= self.bad && self.is_too_many(bad, counted)
    }

    fn is_too_many(&self, bad: u32, counted: u32) -> bool {
        u64::from(bad) * u64::from(self.of) >= u64::from(self.bad) * u64::from(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Quarantine = Quarantine { of: 20, bad: 10 };
    const ANN: Whose = 1;
    const BEN: Whose = 2;

    /// Jobs of a tenant, so many of them bad.
    fn jobs(window: &mut Window, whose: Whose, bad: usize, of: usize) {
        for n in 0..of {
            window.add(JobId::new(), whose, n < bad, &SETTINGS);
        }
    }

    fn counts(window: &Window) -> (u32, u32) {
        window.tally().counts(&SETTINGS)
    }

    fn trips(window: &Window) -> bool {
        let (bad, counted) = counts(window);
        SETTINGS.trips(bad, counted)
    }

    #[test]
    fn most_of_the_last_jobs_must_be_bad() {
        let mut window = Window::default();
        for n in 0..40 {
            window.add(JobId::new(), ANN, n % 3 == 0, &SETTINGS);
            assert!(!trips(&window), "a third is not most: {:?}", counts(&window));
        }
        assert_eq!(counts(&window).1, 20);
        jobs(&mut window, ANN, 10, 10);
        assert!(trips(&window), "{:?}", counts(&window));
        assert!(!SETTINGS.trips(9, 9), "too few to tell");
        assert!(SETTINGS.trips(12, 24) && !SETTINGS.trips(12, 30), "of all nodes together");
        assert!(!Quarantine { of: 20, bad: 0 }.trips(20, 20), "off");
    }

    #[test]
    fn one_job_counts_once_however_often_it_traps() {
        let (mut window, poison) = (Window::default(), JobId::new());
        for _ in 0..30 {
            window.add(poison, ANN, true, &SETTINGS);
        }
        assert_eq!(counts(&window), (1, 1));
        window.add(poison, ANN, false, &SETTINGS);
        assert_eq!(counts(&window), (0, 1), "its newest counts");
        assert!(!window.is_flawed());
    }

    #[test]
    fn another_activation_is_judged_anew() {
        let mut window = Window::default();
        window.of(3).add(JobId::new(), ANN, true, &SETTINGS);
        assert_eq!(counts(window.of(3)), (1, 1));
        assert_eq!(counts(window.of(4)), (0, 0));
    }

    #[test]
    fn no_tenant_stops_a_release_that_does_well_for_the_others() {
        let mut window = Window::default();
        jobs(&mut window, BEN, 0, 2);
        jobs(&mut window, ANN, 18, 18);
        assert_eq!(counts(&window), (3, 5), "a third of ten");
        jobs(&mut window, ANN, 40, 40);
        assert!(trips(&window), "nobody else is left");
        window.vouchers = vec![ANN, BEN];
        assert_eq!(counts(&window), (3, 3), "but the others are known to do well");
    }

    #[test]
    fn a_release_that_fails_for_all_is_stopped_however_many_tenants_there_are() {
        let mut window = Window::default();
        jobs(&mut window, ANN, 5, 5);
        jobs(&mut window, BEN, 5, 5);
        assert!(trips(&window), "{:?}", counts(&window));
        // One has few jobs, and they fail too.
        let mut window = Window::default();
        jobs(&mut window, ANN, 9, 9);
        jobs(&mut window, BEN, 1, 1);
        assert!(trips(&window), "{:?}", counts(&window));
        // Many, for whom it often does well.
        let mut window = Window::default();
        for whose in 0..5 {
            jobs(&mut window, whose, 2, 4);
        }
        assert!(trips(&window), "{:?}", counts(&window));
    }

    #[test]
    fn nodes_add_up_by_tenant() {
        let mut here = Window::default();
        jobs(&mut here, ANN, 3, 3);
        let mut there = Window::default();
        jobs(&mut there, ANN, 9, 9);
        let mut sum = here.tally();
        sum.hear(&there.tally().told());
        assert_eq!(sum.counts(&SETTINGS), (12, 12));
        there.vouchers = vec![BEN];
        let mut sum = here.tally();
        sum.hear(&there.tally().told());
        assert_eq!(sum.counts(&SETTINGS), (3, 3), "no third on each node");
        sum.hear(&json!({"x": [1, 1], "3": 7}));
        assert_eq!(sum.counts(&SETTINGS), (3, 3), "what is not understood is passed");
    }
}
