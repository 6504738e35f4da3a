use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    http::State,
    ids::{Digest, JobId, Priority},
    queue::JobView,
    submit::NewJob,
};

/// A job as JSON. Payload, metadata and result are the bytes that came in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Job {
    id: JobId,
    #[serde(rename = "type")]
    job_type: String,
    tenant: String,
    queue: String,
    tier: i16,
    priority: Priority,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    attempt: i32,
    max_attempts: i32,
    #[schema(value_type = serde_json::Value)]
    payload: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    result: Option<Box<RawValue>>,
    errors: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<JobId>,
    submitted_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplicated: Option<bool>,
}

impl From<JobView> for Job {
    fn from(view: JobView) -> Self {
        Self {
            id: view.id,
            job_type: view.job_type,
            tenant: view.tenant,
            queue: view.queue,
            tier: view.tier,
            priority: view.priority,
            state: view.state,
            reason: view.reason,
            attempt: view.attempt,
            max_attempts: view.max_attempts,
            payload: verbatim(view.payload),
            metadata: view.metadata.map(verbatim),
            result: view.result.map(verbatim),
            errors: view.errors,
            release: view.release,
            idempotency_key: view.idempotency_key,
            parent: view.parent.map(JobId),
            submitted_by: view.subject,
            // Micro- to milliseconds; a guest's CPU time is far below 2^53 of them.
            cpu_ms: view.cpu_us.map(|us| us as f64 / 1000.0),
            created_at: Some(view.created_at),
            run_at: view.run_at,
            expires_at: Some(view.expires_at),
            finished_at: view.finished_at,
            deduplicated: None,
        }
    }
}

impl Job {
    /// What can be said of it where its payload is not at hand.
    pub fn in_brief(&self) -> serde_json::Value {
        serde_json::json!({ "id": self.id, "type": self.job_type, "tenant": self.tenant, "state": self.state })
    }
}

/// The resource of a job that was committed a moment ago, from what is known of it, so that a submit costs no read.
pub(super) fn of_new(state: &State, id: JobId, job: NewJob) -> Job {
    let entry = state.submitter.catalog().get(&job.job_type);
    let queue = entry.as_ref().map(|entry| entry.job_type.queue.clone()).unwrap_or_default();
    let config = state.queues.0.get(&queue);
    let served = entry.is_some_and(|entry| entry.digest.is_some());
    let now = match (served, job.run_at) {
        (false, _) => "blocked",
        (true, Some(at)) if at > Utc::now() => "scheduled",
        (true, _) => "ready",
    };
    Job {
        id,
        job_type: job.job_type,
        tenant: job.tenant,
        tier: config.map_or(0, |queue| queue.tier.as_i16()),
        max_attempts: config.map_or(0, |queue| i32::try_from(queue.retries).unwrap_or(i32::MAX).saturating_add(1)),
        queue,
        priority: job.priority.unwrap_or(Priority::Normal),
        state: now.to_owned(),
        reason: None,
        attempt: 0,
        payload: verbatim(job.payload),
        metadata: job.metadata.map(verbatim),
        result: None,
        errors: serde_json::Value::Array(Vec::new()),
        release: None,
        idempotency_key: job.key,
        parent: None,
        submitted_by: job.subject,
        cpu_ms: None,
        created_at: None,
        run_at: job.run_at,
        expires_at: None,
        finished_at: None,
        deduplicated: None,
    }
}

/// Stored text is JSON, since it was checked on the way in; if ever it were not, it shows as a string.
fn verbatim(text: String) -> Box<RawValue> {
    RawValue::from_string(text.clone()).unwrap_or_else(|_| {
        let quoted = serde_json::Value::from(text).to_string();
        RawValue::from_string(quoted).unwrap_or_else(|_| RawValue::NULL.to_owned())
    })
}
