use serde::de::DeserializeOwned;

use crate::{Failure, raw::usher::plugin::types};

/// One attempt of a job, with its payload as the plugin's own type.
///
/// The host has checked the payload against the manifest's schema. A release newer than the submit may still be handed
/// one that an older schema accepted; what doesn't fit `T` is a permanent failure.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Job<T> {
    /// The job's id, the same on every attempt.
    pub id: String,
    pub job_type: String,
    pub tenant: String,
    pub payload: T,
    /// Counts from 1.
    pub attempt: u32,
    /// The attempt after which the host gives up.
    pub max_attempts: u32,
}

impl<T: DeserializeOwned> Job<T> {
    #[doc(hidden)]
    pub fn from_raw(job: types::Job) -> Result<Self, Failure> {
        let types::Job { id, job_type, tenant, payload, attempt, max_attempts } = job;
        let payload =
            serde_json::from_str(&payload).map_err(|e| Failure::permanent(format_args!("the payload: {e}")))?;
        Ok(Self { id, job_type, tenant, payload, attempt, max_attempts })
    }
}

impl<T> Job<T> {
    /// A job as the host might give it, for a plugin's own unit tests.
    pub fn sample(job_type: &str, payload: T) -> Self {
        Self {
            id: "01900000-0000-7000-8000-000000000000".to_owned(),
            job_type: job_type.to_owned(),
            tenant: "sample".to_owned(),
            payload,
            attempt: 1,
            max_attempts: 1,
        }
    }
}
