use std::collections::VecDeque;

use crate::{config::Quarantine, ids::JobId};

/// How the last jobs of a release ended on this node: whether the release itself failed (a trap, a limit). What a guest
/// says of its job, and what a provider does, is no fault of the release.
#[derive(Debug, Default)]
pub struct Window {
    /// Of the activation that they ran under; 0: it did not serve.
    pub generation: i64,
    /// One entry a job, its newest: a job that traps on each of its attempts says no more than once that it does.
    last: VecDeque<(JobId, bool)>,
    bad: u32,
}

impl Window {
    /// Another activation begins with a clean slate.
    pub fn of(&mut self, generation: i64) -> &mut Self {
        if self.generation != generation {
            *self = Self { generation, ..Self::default() };
        }
        self
    }

    pub fn add(&mut self, job: JobId, bad: bool, settings: &Quarantine) {
        if let Some(at) = self.last.iter().position(|(id, _)| *id == job) {
            self.take(at);
        }
        if self.last.len() >= settings.of as usize {
            self.take(0);
        }
        self.last.push_back((job, bad));
        self.bad += u32::from(bad);
    }

    fn take(&mut self, at: usize) {
        if let Some((_, true)) = self.last.remove(at) {
            self.bad -= 1;
        }
    }

    /// How many were bad, of how many.
    pub fn counts(&self) -> (u32, u32) {
        (self.bad, u32::try_from(self.last.len()).unwrap_or(u32::MAX))
    }
}

impl Quarantine {
    /// Whether so many bad ones of so many jobs, of one node or of all together, are too many.
    pub fn trips(&self, bad: u32, counted: u32) -> bool {
        self.bad > 0
            && bad >= self.bad
            && u64::from(bad) * u64::from(self.of) >= u64::from(self.bad) * u64::from(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Quarantine = Quarantine { of: 20, bad: 10 };

    #[test]
    fn most_of_the_last_jobs_must_be_bad() {
        let mut window = Window::default();
        for n in 0..40 {
            window.add(JobId::new(), n % 3 == 0, &SETTINGS);
            let (bad, counted) = window.counts();
            assert!(!SETTINGS.trips(bad, counted), "a third is not most: {bad} of {counted}");
        }
        assert_eq!(window.counts().1, 20);
        for _ in 0..10 {
            window.add(JobId::new(), true, &SETTINGS);
        }
        let (bad, counted) = window.counts();
        assert!(SETTINGS.trips(bad, counted), "{bad} of {counted}");
        assert!(!SETTINGS.trips(9, 9), "too few to tell");
        assert!(SETTINGS.trips(12, 24) && !SETTINGS.trips(12, 30), "of all nodes together");
        assert!(!Quarantine { of: 20, bad: 0 }.trips(20, 20), "off");
    }

    #[test]
    fn one_job_counts_once_however_often_it_traps() {
        let (mut window, poison) = (Window::default(), JobId::new());
        for _ in 0..30 {
            window.add(poison, true, &SETTINGS);
        }
        assert_eq!(window.counts(), (1, 1));
        window.add(poison, false, &SETTINGS);
        assert_eq!(window.counts(), (0, 1), "its newest counts");
    }

    #[test]
    fn another_activation_is_judged_anew() {
        let mut window = Window::default();
        window.of(3).add(JobId::new(), true, &SETTINGS);
        assert_eq!(window.of(3).counts(), (1, 1));
        assert_eq!(window.of(4).counts(), (0, 0));
    }
}
