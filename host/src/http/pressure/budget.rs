use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
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
}

impl Budget {
    pub fn new(most: u64) -> Self {
        Self { most, used: AtomicU64::new(0) }
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
        Charge { budget: Arc::clone(self), most: self.most(is_submit), bytes: AtomicU64::new(0) }
    }
}

/// What a request's body has taken of the budget, until it is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    most: u64,
    bytes: AtomicU64,
}

impl Charge {
    fn add(&self, bytes: u64) -> Result<(), Overdrawn> {
        if self.budget.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.most {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Overdrawn);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
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
        let budget = Arc::new(Budget::new(100));
        let (submit, other) = (budget.charge(true), budget.charge(false));
        assert!(submit.add(60).is_ok() && submit.add(41).is_err());
        assert!(!budget.has_room(41, true) && budget.has_room(40, true) && budget.has_room(65, false));
        assert!(other.add(65).is_ok() && other.add(1).is_err() && submit.add(1).is_err());
        drop(other);
        assert!(submit.add(40).is_ok());
        drop(submit);
        assert!(budget.has_room(100, true));
    }
}
