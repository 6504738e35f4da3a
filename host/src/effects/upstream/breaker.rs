//! The circuit breaker of one upstream, on this node and in memory: a service that fails again and again is left alone for a
//! while, then one call tries whether it is back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{clock::Boottime, config};

/// How soon a call comes back that met another one's try.
const WHILE_TRYING: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Breaker {
    /// The upstream's.
    pub name: String,
    config: config::Breaker,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { since: Boottime, is_tried: bool },
}

/// A call that may be made. If it was to try whether the upstream is back and ends without having asked, the next one may.
#[derive(Debug)]
pub struct Permit {
    /// Since when the breaker was open that it tries.
    tries: Option<(Arc<Breaker>, Boottime)>,
}

impl Breaker {
    pub fn new(name: &str, config: config::Breaker) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), config, state: Mutex::new(State::Closed { failures: 0 }) })
    }

    /// `Err`: not now, but after so long.
    pub fn admit(self: &Arc<Self>, now: Boottime) -> Result<Permit, Duration> {
        match &mut *self.state() {
            State::Closed { .. } => Ok(Permit { tries: None }),
            State::Open { since, .. } if now.since(*since) < self.config.open_for => {
                Err(self.config.open_for.saturating_sub(now.since(*since)))
            }
            State::Open { is_tried: true, .. } => Err(WHILE_TRYING.min(self.config.open_for)),
            State::Open { since, is_tried } => {
                *is_tried = true;
                Ok(Permit { tries: Some((Arc::clone(self), *since)) })
            }
        }
    }

    /// How a call that was made has ended. `sound`: the upstream is there and answers.
    pub fn ended(&self, sound: bool, now: Boottime) {
        let mut state = self.state();
        match (&mut *state, sound) {
            (State::Closed { failures }, true) => *failures = 0,
            (State::Open { .. }, true) => {
                *state = State::Closed { failures: 0 };
                tracing::info!(upstream = %self.name, "the circuit breaker has closed: the upstream is back");
            }
            (State::Closed { failures }, false) => {
                *failures = failures.saturating_add(1);
                if self.config.failures > 0 && *failures >= self.config.failures {
                    tracing::warn!(
                        upstream = %self.name,
                        failures = *failures,
                        "the circuit breaker has opened: the upstream fails again and again, and is left alone for a while"
                    );
                    *state = State::Open { since: now, is_tried: false };
                }
            }
            (State::Open { since, is_tried }, false) if *is_tried => {
                tracing::debug!(upstream = %self.name, "the upstream was tried, and is not back");
                (*since, *is_tried) = (now, false);
            }
            // One that was sent before it opened.
            (State::Open { .. }, false) => {}
        }
    }

    fn not_asked(&self, opened: Boottime) {
        match &mut *self.state() {
            State::Open { since, is_tried } if *since == opened => *is_tried = false,
            // Its end was told, and the breaker has closed or opened anew.
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((breaker, opened)) = self.tries.take() {
            breaker.not_asked(opened);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(30);

    fn breaker(failures: u32) -> Arc<Breaker> {
        Breaker::new("svc", config::Breaker { failures, open_for: OPEN_FOR })
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_sound_answer_in_between_does_not_count_on() {
        let (breaker, now) = (breaker(3), Boottime::now());
        for sound in [false, false, true, false, false] {
            breaker.ended(sound, now);
            assert!(breaker.admit(now).is_ok());
        }
        breaker.ended(false, now);
        assert_eq!(breaker.admit(now).expect_err("open"), OPEN_FOR);
        assert_eq!(breaker.admit(now.plus(OPEN_FOR / 3)).expect_err("open"), OPEN_FOR * 2 / 3);
    }

    #[test]
    fn one_call_tries_whether_it_is_back() {
        let (breaker, opened) = (breaker(1), Boottime::now());
        breaker.ended(false, opened);
        let later = opened.plus(OPEN_FOR);
        let first = breaker.admit(later).expect("the first may try");
        assert!(first.tries.is_some());
        assert_eq!(breaker.admit(later).expect_err("one at a time"), WHILE_TRYING);
        // It was not back.
        breaker.ended(false, later);
        drop(first);
        assert_eq!(breaker.admit(later).expect_err("open anew"), OPEN_FOR);
        // A try that ends without having asked leaves the place to the next.
        let later = later.plus(OPEN_FOR);
        drop(breaker.admit(later).expect("may try"));
        let next = breaker.admit(later).expect("may try");
        breaker.ended(true, later);
        assert!(breaker.admit(later).expect("closed").tries.is_none());
        drop(next);
        assert!(breaker.admit(later).expect("still closed").tries.is_none());
    }

    #[test]
    fn a_late_failure_does_not_keep_it_open() {
        let (breaker, opened) = (breaker(1), Boottime::now());
        breaker.ended(false, opened);
        breaker.ended(false, opened.plus(OPEN_FOR / 2));
        assert!(breaker.admit(opened.plus(OPEN_FOR)).is_ok());
    }

    #[test]
    fn without_a_number_it_never_opens() {
        let (breaker, now) = (breaker(0), Boottime::now());
        for _ in 0..100 {
            breaker.ended(false, now);
        }
        assert!(breaker.admit(now).is_ok());
    }
}
