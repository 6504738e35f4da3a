use std::time::Duration;

use serde_json::json;

use super::{CANCEL, OperateError, Operator, notify};
use crate::{
    alerts, audit, idempotency,
    ids::JobId,
    queue::{Settlement, Verdict, store},
};

/// What a cancel came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is over.
    Done,
    /// Whoever runs it, or claims it next, ends it: no new effect, and the open one is journaled first.
    Requested,
}

impl Operator {
    /// Cancels a live job; `tenant` restricts to its own.
    pub async fn cancel(&self, id: JobId, tenant: Option<&str>, by: &str) -> Result<Cancelled, OperateError> {
        // Of whatever tier: who cancels a money job, or says that one was done elsewhere, must not find it running after a crash.
        let mut tx = self.pool.begin_durable("SET LOCAL lock_timeout = '2s'").await?;
        let Some(job) = store::lock(&mut tx, id, tenant).await? else {
            return Err(match store::get(&mut tx, id, tenant).await? {
                Some(job) => OperateError::conflict("not-cancellable", format!("The job is {} already.", job.state)),
                None => OperateError::NotFound,
            });
        };
        // One that came over under way from another queue has no effect here that could be resolved. An admin who cancels it
        // says that it was done there.
        let without_journal = job.state == "dead" && !job.journaled && tenant.is_none();
        if job.state == "dead" && !without_journal {
            return Err(OperateError::conflict(
                "unknown-outcome",
                "An effect of this job is in doubt; a person must say first whether it happened.",
            ));
        }
        if job.lease.is_none() && !job.journaled {
            let settlement = Settlement {
                id,
                tier: job.tier,
                lease: None,
                verdict: Verdict::Cancelled,
                error: Some(json!({
                    "kind": "cancelled", "message": format!("cancelled by {by}"), "at": chrono::Utc::now(),
                })),
                release: None,
                cpu: Duration::ZERO,
                base_ms: None,
                place: None,
                journaled: false,
            };
            if without_journal {
                idempotency::store::hold_on(&mut tx, job.tier, id).await?;
            }
            let settled = store::settle(&mut tx, job.tier, &[&settlement]).await?;
            if without_journal {
                alerts::resolve(&mut tx, "unknown-outcome", &format!("job/{id}")).await?;
            }
            let detail = json!({ "outcome": "cancelled" });
            audit::write(&mut tx, by, Some(&job.tenant), "job.cancel", &format!("job/{id}"), detail).await?;
            tx.commit().await?;
            self.bell.settled(&settled);
            return Ok(Cancelled::Done);
        }
        let ready = store::request_cancel(&mut tx, job.tier, id).await?;
        let detail = json!({ "outcome": "requested" });
        audit::write(&mut tx, by, Some(&job.tenant), "job.cancel", &format!("job/{id}"), detail).await?;
        notify(&mut tx, CANCEL, &id.to_string()).await?;
        tx.commit().await?;
        self.bell.ready(&ready.into_iter().collect::<Vec<_>>());
        Ok(Cancelled::Requested)
    }
}
