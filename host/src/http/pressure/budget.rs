use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// A body that comes slower than this for longer than it may stand still is given up, in bytes a second.
const CRAWL: u32 = 1 << 10;

/// Bytes of request bodies that are in memory. They count as they come: what is announced and not sent costs nothing.
#[derive(Debug)]
pub struct Budget {
    most: u64,
    used: AtomicU64,
    /// The most of it that one tenant has.
    share: u64,
    /// What tenants have in use. Each has a place by a hash that nobody can foresee: there is nothing to lock and nothing to
    /// clear up, and once in a thousand times two of them have one share together.
    shares: Vec<AtomicU64>,
    places: RandomState,
}

const PLACES: usize = 1 << 10;

impl Budget {
    pub fn new(most: u64, share: u64) -> Self {
        let shares = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Self { most, used: AtomicU64::new(0), share, shares, places: RandomState::new() }
    }

    /// A quarter is kept for what is no submit.
    fn most(&self, is_submit: bool) -> u64 {
        if is_submit { self.most } else { self.most.saturating_add(self.most / 4) }
    }

    pub fn has_room(&self, bytes: u64, is_submit: bool) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(bytes) <= self.most(is_submit)
    }

    /// Of one request, nothing yet.
    pub fn charge(self: &Arc<Self>, is_submit: bool) -> Charge {
        let most = self.most(is_submit);
        Charge { budget: Arc::clone(self), most, bytes: AtomicU64::new(0), place: OnceLock::new() }
    }
}

/// What a request's body has taken of the budget, until it is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    most: u64,
    bytes: AtomicU64,
    /// Of the one whose body it is, once that is known.
    place: OnceLock<usize>,
}

impl Charge {
    /// It is known whose body it is: from now on it comes out of their share, too.
    pub fn is_of(&self, tenant: &str) {
        let place = self.budget.places.hash_one(tenant) as usize % PLACES;
        if self.place.set(place).is_ok()
            && let Some(share) = self.share()
        {
            share.fetch_add(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn share(&self) -> Option<&AtomicU64> {
        self.budget.shares.get(*self.place.get()?)
    }

    fn add(&self, bytes: u64) -> Result<(), Overdrawn> {
        take(&self.budget.used, bytes, self.most)?;
        if let Some(share) = self.share()
            && let Err(overdrawn) = take(share, bytes, self.budget.share)
        {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(overdrawn);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The body is gone, and its request goes on.
    pub fn release(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(share) = self.share() {
            share.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

fn take(used: &AtomicU64, bytes: u64, most: u64) -> Result<(), Overdrawn> {
    if used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > most {
        used.fetch_sub(bytes, Ordering::Relaxed);
        return Err(Overdrawn);
    }
    Ok(())
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release();
    }
}

/// There is no room for more of this body.
#[derive(Debug)]
pub struct Overdrawn;

impl fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many request bodies are in memory")
    }
}

impl std::error::Error for Overdrawn {}

/// It comes byte by byte.
#[derive(Debug)]
pub struct Crawls;

impl fmt::Display for Crawls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body comes too slowly")
    }
}

impl std::error::Error for Crawls {}

/// A body that counts.
pub struct Counted {
    body: Body,
    charge: Arc<Charge>,
    patience: Duration,
    began: Option<Instant>,
}

impl Counted {
    pub fn new(body: Body, charge: Arc<Charge>, patience: Duration) -> Self {
        Self { body, charge, patience, began: None }
    }

    /// How long so many bytes may take.
    fn time(&self) -> Duration {
        let bytes = u32::try_from(self.charge.bytes.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        self.patience + Duration::from_secs_f64(f64::from(bytes) / f64::from(CRAWL))
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let began = *this.began.get_or_insert_with(Instant::now);
        let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)) else { return Poll::Ready(None) };
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            this.charge.add(data.len() as u64)?;
        }
        if began.elapsed() > this.time() {
            return Poll::Ready(Some(Err(Crawls.into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_given_back_and_submits_leave_a_rest() {
        let budget = Arc::new(Budget::new(100, 100));
        let (submit, other) = (budget.charge(true), budget.charge(false));
        assert!(submit.add(60).is_ok() && submit.add(41).is_err());
        assert!(!budget.has_room(41, true) && budget.has_room(40, true) && budget.has_room(65, false));
        assert!(other.add(65).is_ok() && other.add(1).is_err() && submit.add(1).is_err());
        drop(other);
        assert!(submit.add(40).is_ok());
        drop(submit);
        assert!(budget.has_room(100, true));
    }

    #[test]
    fn nobody_has_more_than_a_share_and_what_is_released_is_for_others() {
        let budget = Arc::new(Budget::new(100, 40));
        let of = |tenant: &str| {
            let charge = budget.charge(true);
            charge.is_of(tenant);
            charge
        };
        let (one, again, stranger) = (of("t1"), of("t1"), budget.charge(true));
        assert!(one.add(30).is_ok() && again.add(11).is_err() && again.add(10).is_ok());
        assert!(stranger.add(60).is_ok(), "what was refused left nothing behind");
        drop(stranger);
        one.release();
        assert!(again.add(30).is_ok() && again.add(1).is_err());
        drop((one, again));
        assert!(budget.has_room(100, true) && of("t1").add(40).is_ok());
    }
}
