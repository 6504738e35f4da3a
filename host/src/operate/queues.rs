use std::time::Duration;

use serde_json::json;

use super::{OperateError, Operator, RESUME, notify};
use crate::{
    audit,
    ids::JobId,
    queue::{Settlement, Verdict, store},
};

/// Jobs of one transaction of a clear.
const BATCH: i64 = 1_000;

/// What a clear did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleared {
    pub cleared: u64,
    /// Left alone: they run.
    pub running: i64,
    /// Left alone: they have a journal, or wait for a person.
    pub journaled: i64,
}

impl Operator {
    /// No node claims from this queue any more. What runs, runs on.
    pub async fn pause(&self, queue: &str, by: &str) -> Result<(), OperateError> {
        self.known(queue)?;
        let mut tx = self.pool.begin().await?;
        if store::set_paused(&mut tx, queue, true, by).await? {
            audit::write(&mut tx, by, None, "queue.pause", &format!("queue/{queue}"), json!({})).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub async fn resume(&self, queue: &str, by: &str) -> Result<(), OperateError> {
        self.known(queue)?;
        let mut tx = self.pool.begin().await?;
        if store::set_paused(&mut tx, queue, false, by).await? {
            audit::write(&mut tx, by, None, "queue.resume", &format!("queue/{queue}"), json!({})).await?;
        }
        notify(&mut tx, RESUME, queue).await?;
        tx.commit().await?;
        self.bell.resumed(queue);
        Ok(())
    }

    /// Cancels all that waits in a queue, in small transactions, but for jobs with a journal.
    pub async fn clear(&self, queue: &str, by: &str) -> Result<Cleared, OperateError> {
        let tier = self.known(queue)?;
        let error = json!({
            "kind": "cleared", "message": format!("the queue was cleared by {by}"), "at": chrono::Utc::now(),
        });
        let mut cleared = 0;
        loop {
            let mut tx = self.pool.begin_with("SET LOCAL lock_timeout = '2s'").await?;
            let ids = store::lock_clearable(&mut tx, tier, queue, BATCH).await?;
            let settlements: Vec<_> = ids
                .iter()
                .map(|id| Settlement {
                    id: JobId(*id),
                    tier,
                    lease: None,
                    verdict: Verdict::Cancelled,
                    error: Some(error.clone()),
                    release: None,
                    cpu: Duration::ZERO,
                    base_ms: None,
                    place: None,
                    journaled: false,
                })
                .collect();
            let settled = store::settle(&mut tx, tier, &settlements.iter().collect::<Vec<_>>()).await?;
            if !ids.is_empty() {
                let detail = json!({ "cleared": ids.len() });
                audit::write(&mut tx, by, None, "queue.clear", &format!("queue/{queue}"), detail).await?;
            }
            tx.commit().await?;
            self.bell.settled(&settled);
            cleared += ids.len() as u64;
            if ids.is_empty() {
                break;
            }
        }
        let mut db = self.pool.read().await?;
        let kept = store::kept(&mut db, tier, queue).await?;
        Ok(Cleared { cleared, running: kept.running, journaled: kept.journaled })
    }

    /// The tier of a configured queue.
    fn known(&self, queue: &str) -> Result<crate::ids::Tier, OperateError> {
        let config = self.queues.0.get(queue).ok_or_else(|| OperateError::NoQueue(queue.to_owned()))?;
        Ok(config.tier)
    }
}
