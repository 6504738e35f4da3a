use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    CatalogEntry, NewJob, SubmitError, Violation,
    payload::{self, MAX_PAYLOAD},
};
use crate::{
    config::Queue,
    idempotency::{self, Key},
    ids::{JobId, Priority, Tier},
    queue::NewRow,
};

/// Schema findings in one answer.
const MAX_FINDINGS: usize = 20;

/// A job that nothing but the database can refuse any more.
#[derive(Clone, Debug)]
pub struct PreparedJob {
    pub(super) row: NewRow,
    pub(super) tier: Tier,
    /// The caller's own first.
    pub(super) keys: Vec<Key>,
    pub(super) payload_hash: [u8; 32],
    /// Hashes of the keys that the old service may have kept for it; empty unless keys of its type were imported.
    pub(super) old_keys: Vec<[u8; 32]>,
}

impl PreparedJob {
    pub fn id(&self) -> JobId {
        self.row.id
    }

    pub fn tier(&self) -> Tier {
        self.tier
    }

    pub fn tenant(&self) -> &str {
        &self.row.tenant
    }

    pub fn job_type(&self) -> &str {
        &self.row.job_type
    }

    pub fn payload(&self) -> &str {
        &self.row.payload
    }

    /// The submitter's own idempotency key.
    pub fn key(&self) -> Option<&str> {
        self.keys.iter().find(|key| key.kind == idempotency::Kind::Header).map(|key| key.text.as_str())
    }

    /// Not before this long after the commit.
    pub fn delay(&self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.row.delay_ms).unwrap_or_default())
    }

    /// The payload's key holds, with the caller's or in its place; where the type derives none, nothing says otherwise.
    pub(super) fn derives(&self) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|key| key.kind == idempotency::Kind::Derived)
    }

    pub fn queue(&self) -> &str {
        &self.row.queue
    }

    /// How long until it falls due; `None`: it is ready now, or waits for something else than its time.
    pub fn due_in(&self) -> Option<std::time::Duration> {
        let ahead = self.row.run_at.map_or(self.row.delay_ms, |at| (at - Utc::now()).num_milliseconds());
        let ahead = u64::try_from(ahead).ok().filter(|ms| *ms > 0 && !self.row.blocked)?;
        Some(std::time::Duration::from_millis(ahead))
    }
}

/// Whose job it is, beside what the submitter says.
pub(super) struct Origin {
    pub id: JobId,
    pub parent: Option<JobId>,
    pub delay_ms: i64,
}

/// All checks of one submit, without I/O.
pub(super) fn check(
    entry: &CatalogEntry,
    queue: &Queue,
    job: NewJob,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<PreparedJob, SubmitError> {
    if job.payload.len() > MAX_PAYLOAD {
        return Err(SubmitError::TooLarge { limit: MAX_PAYLOAD });
    }
    let payload = payload::parse(&job.payload).map_err(|violation| SubmitError::Payload(vec![violation]))?;
    let findings: Vec<_> = entry
        .validator
        .iter_errors(&payload)
        .take(MAX_FINDINGS)
        .map(|error| Violation { pointer: error.instance_path().to_string(), message: error.to_string() })
        .collect();
    if !findings.is_empty() {
        return Err(SubmitError::Payload(findings));
    }

    let payload_hash = idempotency::payload_hash(&payload);
    let keys = keys(entry, job.key.as_deref(), &payload, payload_hash, now)?;
    let millis = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let expires_in_ms = match job.expires_in {
        None => millis(queue.expiry),
        // What a caller says counts from the submit, and is stored from the time it falls due.
        Some(expires_in) => {
            let ahead = job.run_at.map_or(0, |at| (at - now).num_milliseconds().max(0));
            Some(millis(expires_in) - ahead).filter(|left| *left > 0).ok_or_else(|| SubmitError::Field {
                pointer: "/runAt",
                message: "is past the job's expiry; expiresIn counts from now".to_owned(),
            })?
        }
    };
    let row = NewRow {
        id: origin.id,
        tenant: job.tenant,
        job_type: job.job_type,
        queue: entry.job_type.queue.clone(),
        priority: job.priority.unwrap_or(Priority::Normal),
        run_at: job.run_at,
        delay_ms: origin.delay_ms,
        blocked: entry.digest.is_none(),
        max_attempts: i32::try_from(queue.retries.saturating_add(1)).unwrap_or(i32::MAX),
        payload: job.payload,
        metadata: job.metadata,
        subject: job.subject,
        parent: origin.parent,
        accepted_by: entry.digest,
        idempotency_key: keys.first().map(|key| key.text.clone()),
        ordering_key: job.ordering_key,
        key_hashes: (!keys.is_empty()).then(|| keys.iter().flat_map(|key| key.hash).collect()),
        key_ttl_ms: entry
            .job_type
            .idempotency
            .as_ref()
            .map(|i| millis(i.ttl))
            .or((!keys.is_empty()).then_some(DEFAULT_TTL_MS)),
        expires_in_ms,
    };
    Ok(PreparedJob { row, tier: queue.tier, keys, payload_hash, old_keys: Vec::new() })
}

/// How long a caller's key holds where the job type says nothing.
const DEFAULT_TTL_MS: i64 = 24 * 3600 * 1000;

/// The caller's key wins; where it sends none, or the type says `header = "also"`, the derived one holds (too).
fn keys(
    entry: &CatalogEntry,
    header: Option<&str>,
    payload: &Value,
    payload_hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<Vec<Key>, SubmitError> {
    let job_type = &entry.job_type.job_type;
    let mut keys: Vec<_> = header.map(|key| Key::from_header(job_type, key)).into_iter().collect();
    if let Some(idempotency) = &entry.job_type.idempotency
        && (keys.is_empty() || idempotency.header_also)
    {
        keys.push(match &entry.template {
            Some(template) => {
                let (values, text) = template.render(payload, now).map_err(|none| {
                    SubmitError::Payload(vec![Violation { pointer: none.pointer, message: none.message }])
                })?;
                Key::derived(job_type, &values, text)
            }
            None => Key::of_payload(job_type, payload_hash),
        });
    }
    Ok(keys)
}
