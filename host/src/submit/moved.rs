use chrono::{DateTime, Utc};

use super::{
    CatalogEntry, NewJob, PreparedJob, SubmitError,
    check::{self, Origin},
};
use crate::{config::Queue, idempotency::old, ids::JobId};

/// What a job brings along from the queue that it was in before.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// How often it may still begin.
    pub attempts: i32,
    /// After this it is not started any more.
    pub expires_at: DateTime<Utc>,
    /// Nobody knows how far it came: it does not run before a person says so.
    pub parked: bool,
    /// What its type and payload were there: its keys were made of them.
    pub old_type: &'a str,
    pub old_payload: &'a str,
}

/// The checks of any submit, for a job that waited elsewhere.
pub fn prepare_moved(
    entry: &CatalogEntry,
    queue: &Queue,
    job: NewJob,
    terms: &Terms<'_>,
) -> Result<PreparedJob, SubmitError> {
    let now = Utc::now();
    let origin = Origin { id: JobId::new(), parent: None, delay_ms: 0 };
    let mut prepared = check::check(entry, queue, job, &origin, now)?;
    let due = prepared.row.run_at.map_or(now, |at| at.max(now));
    prepared.row.max_attempts = terms.attempts.max(1);
    prepared.row.expires_in_ms = (terms.expires_at - due).num_milliseconds().max(0);
    prepared.row.blocked |= terms.parked;
    prepared.old_keys = old::keys(terms.old_type, terms.old_payload, now).iter().map(|key| old::hash(key)).collect();
    Ok(prepared)
}
