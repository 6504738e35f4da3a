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
    fn send_one_away(&self) -> bool {
        let idle = self.seats.values().filter(|state| state.is_idle() && !state.leaves.load(Ordering::Relaxed));
        let Some(longest) = idle.min_by_key(|state| state.idle_since.load(Ordering::Relaxed)) else { return false };
        longest.leaves.store(true, Ordering::Relaxed);
        longest.wanted.notify_one();
        true
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
