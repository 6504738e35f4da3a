use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;

use super::{OperateError, Operator};
use crate::{
    alerts::{Raised, store},
    audit,
    config::RuleKind,
    ids::AlertId,
};

impl Operator {
    /// Somebody looks after it: nobody is reminded any more. Of one that somebody looks after already, nothing changes.
    pub async fn acknowledge(&self, id: AlertId, by: &str) -> Result<Raised, OperateError> {
        let mut tx = self.pool.begin_durable(PATIENCE).await?;
        let alert = locked(&mut tx, id).await?;
        if alert.state == "firing" {
            store::set_state(&mut tx, id, "acknowledged", by).await?;
            write(&mut tx, id, &alert, "alert.ack", by, json!({})).await?;
        }
        done(tx, id).await
    }

    /// A person says that it is over. What a rule still sees is no news until it is over once; what it counts, it counts from now.
    pub async fn resolve_alert(&self, id: AlertId, by: &str) -> Result<Raised, OperateError> {
        let mut tx = self.pool.begin_durable(PATIENCE).await?;
        let alert = locked(&mut tx, id).await?;
        store::set_state(&mut tx, id, "resolved", by).await?;
        let lasts = RuleKind::of(&alert.kind).is_some_and(|kind| !kind.forgets());
        if alert.rule.is_some() && lasts {
            store::mute(&mut tx, &alert.subject).await?;
        }
        write(&mut tx, id, &alert, "alert.resolve", by, json!({})).await?;
        done(tx, id).await
    }

    /// Nobody is told of it for so long, nor of the same if it comes again meanwhile; no time at all ends that.
    pub async fn silence(&self, id: AlertId, time: Duration, by: &str) -> Result<Raised, OperateError> {
        let mut tx = self.pool.begin_durable(PATIENCE).await?;
        let alert = locked(&mut tx, id).await?;
        store::silence(&mut tx, id, time, by).await?;
        write(&mut tx, id, &alert, "alert.silence", by, json!({ "seconds": time.as_secs() })).await?;
        done(tx, id).await
    }
}

/// How long a person's word waits for a node that looks.
const PATIENCE: &str = "SET LOCAL lock_timeout = '2s'";

/// One that is not over.
async fn locked(db: &mut PgConnection, id: AlertId) -> Result<store::Locked, OperateError> {
    let alert = store::lock(db, id).await?.ok_or(OperateError::NoAlert)?;
    if alert.state == "resolved" {
        return Err(OperateError::conflict("alert-resolved", "The alert is resolved."));
    }
    Ok(alert)
}

async fn write(
    db: &mut PgConnection,
    id: AlertId,
    alert: &store::Locked,
    action: &str,
    by: &str,
    mut detail: serde_json::Value,
) -> sqlx::Result<()> {
    detail["kind"] = alert.kind.as_str().into();
    detail["subject"] = alert.subject.as_str().into();
    audit::write(db, by, alert.tenant.as_deref(), action, &format!("alert/{id}"), detail).await
}

async fn done(mut tx: sqlx::Transaction<'static, sqlx::Postgres>, id: AlertId) -> Result<Raised, OperateError> {
    let now = store::get(&mut tx, id, None).await?.ok_or(OperateError::NoAlert)?;
    tx.commit().await?;
    Ok(now)
}
