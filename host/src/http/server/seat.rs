use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Connections beyond the bound that are for health and metrics only.
const SPARE: usize = 64;

/// A look through all connections finds so many of those that can go: the looks of a flood are rare.
const FEW: usize = 64;
/// After one that found none.
const NOBODY_FOR: Duration = Duration::from_millis(1);

/// What a connection is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub header: Duration,
    pub idle: Duration,
    pub write: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ordinary,
    Spare,
}

/// The connections that there are.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<State>>,
    /// Those that have been idle for longest, the longest one last, with the time from which on. Whoever is in it and has worked
    /// meanwhile has another time; all others have a later one.
    going: Vec<(Instant, u64)>,
    /// When a look found nobody.
    in_vain: Option<Instant>,
}

impl Seats {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A seat for one more connection. Where all are taken, whoever has been idle for longest goes; where nobody is, it is a
    /// spare one. `None`: there is none of those either.
    pub fn take(self: &Arc<Self>) -> Option<Arc<Seat>> {
        let mut taken = self.taken();
        let count = taken.seats.len();
        let kind = if count < self.most {
            Kind::Ordinary
        } else if count >= self.most + SPARE {
            return None;
        } else if taken.send_one_away() {
            Kind::Ordinary
        } else {
            Kind::Spare
        };
        let state = Arc::new(State::new());
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Arc::clone(&state));
        drop(taken);
        Some(Arc::new(Seat { kind, state, number, seats: Arc::clone(self) }))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn send_one_away(&mut self) -> bool {
        self.send_next_away() || (self.look_through() && self.send_next_away())
    }

    fn send_next_away(&mut self) -> bool {
        while let Some((since, number)) = self.going.pop() {
            let state = self.seats.get(&number).filter(|state| state.can_go() && state.idle_from() == since);
            if let Some(longest) = state {
                longest.leaves.store(true, Ordering::Relaxed);
                longest.wanted.notify_one();
                return true;
            }
        }
        false
    }

    /// Whether there is anybody who can go.
    fn look_through(&mut self) -> bool {
        if self.in_vain.is_some_and(|at| at.elapsed() < NOBODY_FOR) {
            return false;
        }
        let idle = self.seats.iter().filter(|(_, state)| state.can_go());
        self.going = idle.map(|(number, state)| (state.idle_from(), *number)).collect();
        self.going.sort_unstable_by(|a, b| b.cmp(a));
        self.going.drain(..self.going.len().saturating_sub(FEW));
        self.in_vain = self.going.is_empty().then(Instant::now);
        !self.going.is_empty()
    }
}

/// One connection's. It is free again when the connection is gone.
#[derive(Debug)]
pub struct Seat {
    pub kind: Kind,
    state: Arc<State>,
    number: u64,
    seats: Arc<Seats>,
}

/// What a connection does. Times are milliseconds since it began; 0 is never.
#[derive(Debug)]
struct State {
    began: Instant,
    /// Requests whose answers are not out yet.
    under_way: AtomicUsize,
    idle_since: AtomicU64,
    /// The first byte of the request that is being read.
    head_since: AtomicU64,
    /// Answers, or parts of them, that the client has not taken.
    owed: AtomicUsize,
    owed_since: AtomicU64,
    is_http2: AtomicBool,
    leaves: AtomicBool,
    wanted: Notify,
}

impl State {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            under_way: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            owed: AtomicUsize::new(0),
            owed_since: AtomicU64::new(0),
            is_http2: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            wanted: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        // A connection of half a billion years.
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    fn can_go(&self) -> bool {
        self.is_idle() && !self.leaves.load(Ordering::Relaxed)
    }

    /// By the clock that all connections share: each counts from its own beginning.
    fn idle_from(&self) -> Instant {
        self.began + Duration::from_millis(self.idle_since.load(Ordering::Relaxed))
    }
}

impl Seat {
    /// Somebody else needs it.
    pub async fn wanted(&self) {
        self.state.wanted.notified().await;
    }

    /// Whether it is free for whoever wants it: a request may have begun since it was chosen.
    pub fn goes(&self) -> bool {
        let is_idle = self.state.is_idle();
        self.state.leaves.store(is_idle, Ordering::Relaxed);
        is_idle
    }

    pub fn read(&self, bytes: &[u8]) {
        let state = &self.state;
        if bytes.is_empty() || !state.is_idle() || state.head_since.load(Ordering::Relaxed) != 0 {
            return;
        }
        state.head_since.store(state.now(), Ordering::Relaxed);
        if bytes.starts_with(b"PRI ") {
            state.is_http2.store(true, Ordering::Relaxed);
        }
    }

    /// The client takes what it is owed. (A few bytes are no part of an answer, but frames about frames.)
    pub fn wrote(&self, bytes: usize) {
        let state = &self.state;
        if bytes >= 256 && state.owed.load(Ordering::Relaxed) > 0 {
            state.owed_since.store(state.now(), Ordering::Relaxed);
        }
    }

    /// A request has been read as far as its body.
    pub fn begin(seat: &Arc<Self>) -> UnderWay {
        seat.state.under_way.fetch_add(1, Ordering::Relaxed);
        seat.state.head_since.store(0, Ordering::Relaxed);
        UnderWay { seat: Arc::clone(seat), owes: false }
    }

    /// For how long this connection may still be waited for; `None`: not any more.
    pub fn left(&self, times: &Times) -> Option<Duration> {
        let state = &self.state;
        let is_first = state.idle_since.load(Ordering::Relaxed) == 0;
        let (since, limit) = if !state.is_idle() {
            match state.owed.load(Ordering::Relaxed) {
                // The host is at work; it is looked at again.
                0 => return Some(times.write.min(times.idle).min(times.header)),
                _ => (state.owed_since.load(Ordering::Relaxed), times.write),
            }
        } else {
            match state.head_since.load(Ordering::Relaxed) {
                0 if is_first => (0, times.header),
                0 => (state.idle_since.load(Ordering::Relaxed), times.idle),
                // There such bytes may be frames that belong to no request.
                since if state.is_http2.load(Ordering::Relaxed) => (since, times.idle),
                since => (since, times.header),
            }
        };
        let past = Duration::from_millis(state.now().saturating_sub(since));
        limit.checked_sub(past).filter(|left| !left.is_zero())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().seats.remove(&self.number);
    }
}

/// A request, until its answer is out.
#[derive(Debug)]
pub struct UnderWay {
    seat: Arc<Seat>,
    owes: bool,
}

impl UnderWay {
    /// Whether there is something that the client has not taken.
    pub fn owe(&mut self, owes: bool) {
        let state = &self.seat.state;
        match (self.owes, owes) {
            (false, true) => _ = state.owed.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = state.owed.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        self.owes = owes;
        state.owed_since.store(state.now(), Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.owe(false);
        let state = &self.seat.state;
        state.idle_since.store(state.now(), Ordering::Relaxed);
        state.head_since.store(0, Ordering::Relaxed);
        state.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times =
        Times { header: Duration::from_secs(10), idle: Duration::from_secs(75), write: Duration::from_secs(30) };

    #[test]
    fn whoever_is_idle_for_longest_makes_room_and_who_works_does_not() {
        let seats = Seats::new(2);
        let (one, two) = (seats.take().expect("free"), seats.take().expect("free"));
        let busy = Seat::begin(&one);
        let three = seats.take().expect("in place of the second");
        assert_eq!(three.kind, Kind::Ordinary);
        assert!(two.state.leaves.load(Ordering::Relaxed) && !one.state.leaves.load(Ordering::Relaxed));
        let also_busy = Seat::begin(&three);
        let spare = seats.take().expect("a spare one");
        assert_eq!(spare.kind, Kind::Spare);
        drop((busy, also_busy, spare, two, three));
        assert_eq!(seats.take().expect("free again").kind, Kind::Ordinary);
    }

    #[test]
    fn a_connection_that_has_just_come_does_not_make_room_for_the_next() {
        let seats = Seats::new(2);
        let old = seats.take().expect("free");
        drop(Seat::begin(&old));
        std::thread::sleep(Duration::from_millis(20));
        let new = seats.take().expect("free");
        seats.take().expect("in place of the old one");
        assert!(old.state.leaves.load(Ordering::Relaxed) && !new.state.leaves.load(Ordering::Relaxed));
    }

    #[test]
    fn who_has_worked_since_the_last_look_is_passed_by() {
        let seats = Seats::new(3);
        let after_a_while = || {
            std::thread::sleep(Duration::from_millis(5));
            seats.take().expect("free")
        };
        let (one, two, three) = (after_a_while(), after_a_while(), after_a_while());
        let leaves = |seat: &Seat| seat.state.leaves.load(Ordering::Relaxed);
        let _fourth = after_a_while();
        assert!(leaves(&one) && !leaves(&two) && !leaves(&three));
        drop(Seat::begin(&two));
        let _fifth = after_a_while();
        assert!(!leaves(&two) && leaves(&three));
    }

    #[test]
    fn beyond_the_spare_seats_there_is_none() {
        let seats = Seats::new(1);
        let mut all = Vec::new();
        while let Some(seat) = seats.take() {
            all.push((Seat::begin(&seat), seat));
        }
        assert_eq!(all.len(), 1 + SPARE);
    }

    #[test]
    fn each_phase_has_its_own_time() {
        let seat = Seats::new(1).take().expect("free");
        let is_about = |wanted: Duration| {
            let left = seat.left(&TIMES).expect("time");
            assert!(left <= wanted && left + Duration::from_secs(5) > wanted, "{left:?} {wanted:?}");
        };
        is_about(TIMES.header);
        seat.read(b"GET");
        is_about(TIMES.header);
        let mut request = Seat::begin(&seat);
        is_about(TIMES.header);
        request.owe(true);
        is_about(TIMES.write);
        drop(request);
        is_about(TIMES.idle);
    }
}
