use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ids::{Digest, JobId, Priority};

/// A job as people see it, live or finished.
#[derive(Clone, Debug)]
pub struct JobView {
    pub id: JobId,
    pub tenant: String,
    pub job_type: String,
    pub queue: String,
    pub tier: i16,
    pub priority: Priority,
    pub state: String,
    pub reason: Option<String>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub payload: String,
    pub metadata: Option<String>,
    pub subject: String,
    pub parent: Option<Uuid>,
    pub release: Option<Digest>,
    pub idempotency_key: Option<String>,
    /// JSON text.
    pub result: Option<String>,
    /// One object per failed or postponed attempt.
    pub errors: serde_json::Value,
    pub cpu_us: Option<i64>,
    pub created_at: DateTime<Utc>,
    /// `None` while blocked or dead.
    pub run_at: Option<DateTime<Utc>>,
    pub expires_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// `GET /jobs`: newest first.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// `None`: all tenants (admins only).
    pub tenant: Option<String>,
    pub job_type: Option<String>,
    pub queue: Option<String>,
    pub state: Option<String>,
    /// Only jobs whose id sorts before this one.
    pub before: Option<JobId>,
    pub limit: i64,
}
