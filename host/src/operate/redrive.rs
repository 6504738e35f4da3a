use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{OperateError, Operator};
use crate::{
    audit,
    idempotency::store::{self as keys, Wanted},
    ids::{Digest, JobId},
    journal::{self, Restored},
    queue::{
        Ready,
        store::{self, Finished, Redrive},
    },
    releases::{self, manifest},
};

/// How a dead job begins again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Again {
    /// On this release, in place of the active one.
    pub release: Option<Digest>,
    /// Its journal is not reopened.
    pub as_it_was: bool,
}

impl Operator {
    /// Starts a dead job again, under its id and with its journal; `release`: with that code instead of the active one.
    pub async fn retry(
        &self,
        id: JobId,
        tenant: Option<&str>,
        release: Option<Digest>,
        by: &str,
    ) -> Result<(), OperateError> {
        let mut tx = self.pool.begin_durable("SET LOCAL lock_timeout = '2s'").await?;
        let ready = self.retry_in(&mut tx, id, tenant, Again { release, ..Again::default() }, by).await?;
        // Whose it is, for an admin who did not say so.
        let whose = store::get(&mut tx, id, tenant).await?.map(|job| job.tenant);
        let detail = json!({ "release": release });
        audit::write(&mut tx, by, whose.as_deref(), "job.retry", &format!("job/{id}"), detail).await?;
        tx.commit().await?;
        self.bell.ready(&ready);
        Ok(())
    }

    /// In the caller's transaction, which must be rolled back on an error.
    pub(super) async fn retry_in(
        &self,
        db: &mut PgConnection,
        id: JobId,
        tenant: Option<&str>,
        again: Again,
        by: &str,
    ) -> Result<Vec<Ready>, OperateError> {
        let Some(job) = store::lock_finished(db, id, tenant).await? else {
            if tenant.is_none()
                && again.release.is_none()
                && let Some(ready) = self.run_parked(db, id, by).await?
            {
                return Ok(ready);
            }
            return Err(match store::get(db, id, tenant).await? {
                Some(job) if job.state == "dead" => OperateError::conflict(
                    "unknown-outcome",
                    "An effect of this job is in doubt; a person must say first whether it happened.",
                ),
                Some(job) => {
                    OperateError::conflict("not-dead", format!("The job is {}; only a dead one is retried.", job.state))
                }
                None => OperateError::NotFound,
            });
        };
        if job.state != "dead" {
            let message = format!("The job is {}; only a dead one is retried.", job.state);
            return Err(OperateError::conflict("not-dead", message));
        }
        if job.reason.as_deref() == Some("invalid") {
            return Err(OperateError::conflict(
                "invalid",
                "The job never had a valid payload and key; submit it anew.",
            ));
        }
        let queue = self.queues.0.get(&job.queue).ok_or_else(|| OperateError::NoQueue(job.queue.clone()))?;
        if queue.tier != job.tier {
            let message = "The job's queue is in another tier by now; submit it anew.".to_owned();
            return Err(OperateError::conflict("tier-changed", message));
        }
        let pinned = self.release_of(db, &job, again.release).await?;
        take_keys_again(db, id, &job).await?;

        let rows = job.journal.clone().unwrap_or_else(|| json!([]));
        let rows: Vec<Restored> = serde_json::from_value(rows).map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
        let (kept, reopened) = if again.as_it_was { (rows, Vec::new()) } else { reopen(rows) };
        // Beyond all that were used: a person may have had one row made anew.
        let used = kept.iter().chain(&reopened).map(|row| row.generation).max().unwrap_or(0).max(job.generation);
        let generation = if reopened.is_empty() { job.generation } else { used + 1 };
        journal::store::restore(db, id, job.tier, &kept).await?;
        let mut note =
            json!({ "kind": "redrive", "message": format!("started again by {by}"), "at": chrono::Utc::now() });
        if !reopened.is_empty() {
            note["reopened"] = json!(reopened);
        }
        let redrive = Redrive {
            id,
            lane: self.lanes.assign(&job.queue, &job.tenant),
            pinned,
            generation,
            max_attempts: i32::try_from(queue.retries.saturating_add(1)).unwrap_or(i32::MAX),
            expires_in_ms: i64::try_from(queue.expiry.as_millis()).unwrap_or(i64::MAX),
            note,
        };
        store::redrive(db, &redrive).await?.ok_or(OperateError::NotFound)
    }

    /// The one that was asked for; else the active one, or where nothing serves, the one that took the job in. `None`: that
    /// one is in quarantine, so the job waits for one that serves.
    async fn release_of(
        &self,
        db: &mut PgConnection,
        job: &Finished,
        asked: Option<Digest>,
    ) -> Result<Option<Digest>, OperateError> {
        if let Some(asked) = asked {
            if releases::store::hold(db, asked).await? == Some(true) {
                let message = format!("Release {asked} is in quarantine and runs nowhere; activate it first.");
                return Err(OperateError::conflict("release-quarantined", message));
            }
            check_asked(db, job, asked).await?;
            return Ok(Some(asked));
        }
        let active = self.catalog.get(&job.job_type).filter(|entry| {
            serde_json::from_str::<Value>(&job.payload).is_ok_and(|payload| entry.validator.is_valid(&payload))
        });
        let none = || OperateError::conflict("no-release", format!("No release serves \"{}\" now.", job.job_type));
        match active.and_then(|entry| entry.digest) {
            Some(active) => Ok(Some(active)),
            None => {
                let accepted = job.accepted_by.ok_or_else(none)?;
                let quarantined = releases::store::hold(db, accepted).await?.ok_or_else(none)?;
                Ok((!quarantined).then_some(accepted))
            }
        }
    }
}

/// Who may retry a job may not choose any code for it: only what an admin has let serve, for a type that its plugin owns now,
/// and with a payload that it takes.
async fn check_asked(db: &mut PgConnection, job: &Finished, asked: Digest) -> Result<(), OperateError> {
    let stored = releases::store::get(db, asked).await?.ok_or(OperateError::NoRelease(asked))?;
    let owner = releases::store::hold_type(db, &job.job_type).await?;
    let named = stored.manifest.jobs.iter().find(|named| named.job_type == job.job_type);
    let Some(named) = named.filter(|_| owner.as_ref() == Some(&stored.manifest.name)) else {
        let message = format!("Release {asked} does not own \"{}\".", job.job_type);
        return Err(OperateError::conflict("wrong-release", message));
    };
    if !releases::store::has_served(db, asked).await? {
        let message = format!("Release {asked} has never served; an admin must activate it first.");
        return Err(OperateError::conflict("release-never-served", message));
    }
    let takes = manifest::validator(&named.schema).is_ok_and(|validator| {
        serde_json::from_str::<Value>(&job.payload).is_ok_and(|payload| validator.is_valid(&payload))
    });
    if !takes {
        let message = format!("The schema of release {asked} refuses this job's payload.");
        return Err(OperateError::conflict("payload-refused", message));
    }
    Ok(())
}

/// The job wants its keys back: free ones are taken, its own are there still, and one that another job holds by now
/// stands in its way.
async fn take_keys_again(db: &mut PgConnection, id: JobId, job: &Finished) -> Result<(), OperateError> {
    let hashes = job.key_hashes.as_deref().unwrap_or_default();
    let payload_hash =
        serde_json::from_str::<Value>(&job.payload).map(|payload| crate::idempotency::payload_hash(&payload));
    let payload_hash = payload_hash.unwrap_or([0; 32]);
    let mut wanted: Vec<_> = hashes
        .chunks_exact(32)
        .filter_map(|hash| {
            let hash = hash.try_into().ok()?;
            Some(Wanted { tenant: &job.tenant, job_type: &job.job_type, hash, job: id, payload_hash })
        })
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    wanted.sort_unstable_by_key(|wanted| wanted.hash);
    let taken = keys::take(db, job.tier, &wanted).await?;
    let holders = keys::holders(db, job.tier, &wanted).await?;
    for want in &wanted {
        let Some(holder) = holders.iter().find(|holder| holder.hash == want.hash) else { continue };
        // Its own too is taken anew, which locks it: a submit that saw this job dead must not take it meanwhile.
        let free = holder.job == id || !holder.holds;
        let ours = free && keys::take_over(db, job.tier, want, holder).await?;
        if !ours {
            return Err(OperateError::conflict(
                "key-taken",
                format!("Job {} holds this job's idempotency key by now; cancel it first, or submit anew.", holder.job),
            ));
        }
    }
    // A key that was another's meanwhile, or that nobody has had for so long that its row is gone (it is ours since a moment ago).
    let lost: Vec<_> = wanted
        .iter()
        .filter(|want| {
            let held = holders.iter().find(|holder| holder.hash == want.hash);
            held.is_none_or(|holder| holder.job != id || taken.iter().any(|(hash, _)| *hash == want.hash))
        })
        .map(|want| want.hash.to_vec())
        .collect();
    if !lost.is_empty()
        && let Some(later) = keys::used_since(db, id, &job.tenant, &job.job_type, &lost).await?
    {
        return Err(OperateError::conflict(
            "key-used",
            format!("Job {later} has done the work of this idempotency key since; to do it once more, submit it anew."),
        ));
    }
    Ok(())
}

/// Where the journal is cut: at the first refusal after which nothing happened, so that the provider is asked anew and
/// not for its old answer. Returns what stays and what is asked again.
fn reopen(rows: Vec<Restored>) -> (Vec<Restored>, Vec<Restored>) {
    let cut =
        rows.iter().position(Restored::is_rejected).filter(|at| !rows[*at..].iter().any(Restored::may_have_happened));
    let mut kept = rows;
    let reopened = cut.map(|at| kept.split_off(at)).unwrap_or_default();
    (kept, reopened)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u32, state: &str, kind: Option<&str>) -> Value {
        let answer = match kind {
            Some("rejected") => {
                json!({"kind": "rejected", "value": {"code": "card_declined", "message": "no", "status": 402}})
            }
            Some(kind) => json!({"kind": kind, "value": "x"}),
            None => Value::Null,
        };
        json!({
            "seq": seq, "generation": 0, "effectId": uuid::Uuid::nil(), "provider": "stripe", "function": "f", "class": "asked",
            "requestHash": "00".repeat(32), "request": {}, "state": state, "tries": 1, "release": "00".repeat(32),
            "baseMs": 0, "startedAt": "2026-01-01T00:00:00+00:00", "endedAt": "2026-01-01T00:00:01+00:00", "answer": answer,
            "note": null,
        })
    }

    fn cut(rows: Vec<Value>) -> (usize, usize) {
        let (kept, reopened) = reopen(serde_json::from_value(Value::from(rows)).expect("rows"));
        (kept.len(), reopened.len())
    }

    #[test]
    fn the_journal_is_reopened_at_a_refusal_that_nothing_followed() {
        let (ok, no) = (row(0, "ended", Some("ok")), row(1, "ended", Some("rejected")));
        assert_eq!(cut(vec![ok.clone(), no.clone()]), (1, 1));
        assert_eq!(cut(vec![ok.clone(), no.clone(), row(2, "ended", Some("denied"))]), (1, 2));
        assert_eq!(cut(vec![ok.clone(), no.clone(), row(2, "ended", Some("ok"))]), (3, 0), "a later one happened");
        assert_eq!(cut(vec![ok.clone(), no, row(2, "started", None)]), (3, 0), "a later one may have");
        let mut read = row(2, "ended", Some("ok"));
        read["class"] = json!("read");
        assert_eq!(cut(vec![ok.clone(), row(1, "ended", Some("rejected")), read]), (1, 2), "a look changes nothing");
        assert_eq!(cut(vec![ok]), (1, 0));
    }
}
