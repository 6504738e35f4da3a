use std::time::Duration;

use super::{
    Accepted, NewJob, PreparedJob, SubmitError, Submitter, Trouble, batch::LOCK_TIMEOUT, check::Origin, commit,
};
use crate::{
    alerts::{self, Alert, Severity},
    db::Pool,
    ids::{JobId, Tier},
    queue::{self, Ready, Settlement, Tally, Verdict, store::Unchecked},
    webhooks::{self, Event, Failed},
};
use serde_json::json;

/// Jobs of one transaction.
const BATCH: i64 = 500;

/// What a look at the unchecked brought about.
#[derive(Debug, Default)]
pub struct Admitted {
    /// Where jobs became ready.
    pub ready: Vec<Ready>,
    pub finished: Tally,
    /// Ended without having run.
    pub over: Vec<JobId>,
    /// There may be more.
    pub more: bool,
}

impl Submitter {
    /// Checks jobs that came in by SQL: schema and keys, as for any other submit, before their first claim. A loser of its
    /// key ends as a reference to the first; one that is not valid ends dead, with an alert.
    pub async fn admit(&self, pool: &Pool) -> sqlx::Result<Admitted> {
        let mut admitted = Admitted::default();
        for tier in Tier::ALL {
            let mut tx = pool.begin_for(tier, LOCK_TIMEOUT).await?;
            // Types that this node does not know yet are for those that do.
            let rows = queue::store::lock_unchecked(&mut tx, tier, &self.catalog.known(), BATCH).await?;
            if rows.is_empty() {
                continue;
            }
            let full = i64::try_from(rows.len()).is_ok_and(|n| n == BATCH);
            let (mut valid, mut moved, mut invalid) = (Vec::new(), Vec::new(), Vec::new());
            for row in rows {
                match self.recheck(&row) {
                    // A queue may have moved to another tier since; the next look of a node that knows takes it there.
                    Ok(job) if job.tier() != tier => moved.push(job),
                    Ok(job) => valid.push(job),
                    Err(SubmitError::UnknownType { .. } | SubmitError::Field { .. }) => {}
                    Err(error) => invalid.push((row, described(&error))),
                }
            }
            admitted.more |= full && !(valid.is_empty() && invalid.is_empty());
            // As `unchecked` rows of their new tier, where they are checked again.
            for job in &moved {
                queue::store::move_unchecked(&mut tx, tier, job.tier(), job.id(), job.queue()).await?;
            }
            admitted.more |= !moved.is_empty();
            let ids: Vec<_> = valid.iter().map(|job| job.id().0).collect();
            queue::store::forget(&mut tx, tier, &ids).await?;
            let jobs: Vec<_> = valid.iter().collect();
            let done = commit::enqueue(&mut tx, tier, &jobs, &self.lanes).await?;
            let mut ends = Vec::new();
            for (job, result) in valid.iter().zip(done.results) {
                let (verdict, error) = match result {
                    Ok(Accepted::New(_)) => continue,
                    // Its key changed hands under our eyes: the whole batch is looked at again.
                    Err(SubmitError::Busy | SubmitError::Unavailable(_)) => {
                        return Ok(Admitted { more: false, ..admitted });
                    }
                    Ok(Accepted::Replayed(first) | Accepted::Deduplicated(first)) => {
                        (Verdict::Cancelled, json!({ "kind": "deduplicated", "firstJob": first }))
                    }
                    Err(error) => (
                        Verdict::Dead { reason: "invalid" },
                        json!({ "kind": "invalid", "message": described(&error) }),
                    ),
                };
                // Its row is needed once more, to be archived.
                admitted.ready.extend(queue::store::insert(&mut tx, tier, &[&job.row], &self.lanes).await?);
                ends.push(end(job.id(), tier, verdict, error));
            }
            let mut raised = Vec::new();
            for (row, message) in &invalid {
                tracing::warn!(job.id = %row.id, job.kind = row.job_type, error = message, "a job that came in by SQL is not valid");
                let error = json!({ "kind": "invalid", "message": message });
                ends.push(end(row.id, tier, Verdict::Dead { reason: "invalid" }, error));
                raised.push(Alert {
                    kind: "invalid-job",
                    subject: format!("tenant/{}/type/{}", row.tenant, row.job_type),
                    tenant: Some(row.tenant.clone()),
                    severity: Severity::Warning,
                    message: "A job that was submitted by SQL is not valid and will not run.".to_owned(),
                    detail: json!({ "job": row.id, "cause": message }),
                });
            }
            let settled = queue::store::settle(&mut tx, tier, &ends.iter().collect::<Vec<_>>()).await?;
            alerts::raise(&mut tx, &raised).await?;
            let troubles: Vec<_> = settled.dead.iter().map(Trouble::from).collect();
            let mails = self.alarm(&mut tx, &troubles).await?;
            let failed: Vec<_> = settled
                .dead
                .into_iter()
                .map(|dead| {
                    Event::failed(Failed {
                        tenant: dead.tenant,
                        job: dead.id,
                        job_type: dead.job_type,
                        queue: dead.queue,
                        reason: dead.reason,
                        redrives: dead.redrives,
                    })
                })
                .collect();
            if !failed.is_empty() {
                webhooks::store::publish(&mut tx, &failed).await?;
            }
            tx.commit().await?;
            admitted.ready.extend(done.ready);
            admitted.ready.extend(settled.ready);
            admitted.ready.extend(mails);
            admitted.finished.merge(&settled.finished);
            admitted.over.extend(settled.over);
        }
        Ok(admitted)
    }

    fn recheck(&self, row: &Unchecked) -> Result<PreparedJob, SubmitError> {
        let origin = Origin { id: row.id, parent: None, delay_ms: 0 };
        let job = NewJob {
            job_type: row.job_type.clone(),
            payload: row.payload.clone(),
            priority: Some(row.priority),
            // A job in a line runs when its turn comes.
            run_at: row.ordering_key.is_none().then_some(row.run_at),
            expires_in: None,
            metadata: row.metadata.clone(),
            tenant: row.tenant.clone(),
            subject: row.subject.clone(),
            key: row.key.clone(),
            ordering_key: row.ordering_key.clone(),
        };
        self.check(job, &origin)
    }
}

/// Places, and nothing of the payload: logs, alerts and errors are no place for data.
fn described(error: &SubmitError) -> String {
    match error {
        SubmitError::Payload(findings) => {
            let places: Vec<_> = findings.iter().map(|finding| format!("\"{}\"", finding.pointer)).collect();
            format!("the payload does not fit the schema or the key template at {}", places.join(", "))
        }
        SubmitError::KeyReused { first } => format!("the key was used before with another payload, by job {first}"),
        other => other.to_string(),
    }
}

fn end(id: JobId, tier: Tier, verdict: Verdict, mut error: serde_json::Value) -> Settlement {
    error["at"] = json!(chrono::Utc::now());
    Settlement {
        id,
        tier,
        lease: None,
        verdict,
        error: Some(error),
        release: None,
        cpu: Duration::ZERO,
        base_ms: None,
        place: None,
        journaled: false,
    }
}
