//! Child jobs. The manifest's `[grants] jobs` names the types.

use std::time::Duration;

use serde::Serialize;

use crate::{Error, host, raw::usher::plugin::jobs};

/// Enqueues a job of the same tenant and returns its id.
///
/// The type and the payload are checked now. The child exists when this job succeeds: in the same transaction, exactly once;
/// a job that fails leaves no children.
pub fn enqueue(job_type: &str, payload: &impl Serialize) -> Result<String, Error> {
    NewJob::new(job_type, payload).enqueue()
}

/// A child job with more to say than its type and payload.
#[derive(Clone, Debug)]
#[must_use = "call enqueue()"]
pub struct NewJob<'a, P> {
    job_type: &'a str,
    payload: &'a P,
    key: Option<String>,
    delay: Duration,
}

impl<'a, P: Serialize> NewJob<'a, P> {
    pub fn new(job_type: &'a str, payload: &'a P) -> Self {
        Self { job_type, payload, key: None, delay: Duration::ZERO }
    }

    /// An idempotency key in place of the one that the child's type derives from its payload.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Starts no earlier than this long after the parent's success, in whole milliseconds.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// As the function [`enqueue`].
    pub fn enqueue(self) -> Result<String, Error> {
        let payload = serde_json::to_string(self.payload).map_err(|e| Error::unwritable("the child's payload", &e))?;
        let job = jobs::NewJob {
            job_type: self.job_type.to_owned(),
            payload,
            key: self.key,
            delay_ms: u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX),
        };
        Ok(host::enqueue(&job)?)
    }
}
