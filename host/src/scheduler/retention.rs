use std::{sync::Arc, time::Duration};

use chrono::Utc;
use sqlx::{AssertSqlSafe, Executor, PgPool};

use super::{Scheduler, store};
use crate::{
    alerts,
    auth::{self, service},
    idempotency, inbound, journal, ratelimit, releases,
};

const EVERY: Duration = Duration::from_secs(60);
/// A node that does this duty is left to it for so long after its last sign.
const LEASE: Duration = Duration::from_secs(180);
/// Keys that are looked at in one statement, and statements of one round.
const KEYS: i64 = 1_000;
const BATCHES: usize = 10;
/// Rate slots that nobody came back for, unused buckets, what was signed for mints long ago, old events of Stripe, and old alerts,
/// of one round.
const SLOTS: i64 = 10_000;
/// What plugins used is kept for so many days.
const USAGE_DAYS: i32 = 92;

/// Lets go what is kept no longer, a little every minute, on one node.
pub(super) async fn run(s: Arc<Scheduler>) {
    let mut after = None;
    loop {
        if let Err(error) = round(&s, &mut after).await {
            tracing::warn!(error = %error, "what is kept no longer could not be let go; it is tried again in a minute");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = s.lifecycle.stopping() => return,
        }
    }
}

async fn round(s: &Scheduler, after: &mut Option<idempotency::store::Place>) -> sqlx::Result<()> {
    let mut db = s.pool.write().await?;
    if !store::lead(&mut db, "retention", s.node, LEASE).await? {
        return Ok(());
    }
    for _ in 0..BATCHES {
        *after = idempotency::store::purge(&mut db, after.as_ref(), KEYS).await?;
        if after.is_none() {
            break;
        }
    }
    idempotency::imported::purge(&mut db, KEYS).await?;
    releases::store::clear_usage(&mut db, USAGE_DAYS, SLOTS).await?;
    ratelimit::store::clear_up(&mut db, SLOTS).await?;
    auth::store::clear_up(&mut db, SLOTS).await?;
    journal::mints::clear_up(&mut db, SLOTS).await?;
    service::forget_nonces(&mut db, SLOTS, BATCHES).await?;
    inbound::clear_up(&mut db, SLOTS).await?;
    alerts::store::clear_up(&mut db, s.alerts.keep, SLOTS).await?;
    db.done().await?;
    // Last, since it fails where somebody reads for long, which an alert may be about.
    drop_days(&s.direct).await
}

/// Drops the days whose time is over, however long this host was off. A plain DROP would queue behind a long reader (a
/// pg_dump) and every settle behind the DROP; so the partition is detached first, without a lock on the others, and both
/// steps give up after a second, until the next minute.
pub async fn drop_days(direct: &PgPool) -> sqlx::Result<()> {
    // A connection of its own: a detach cannot be in a transaction, and its settings must not stay in the pool.
    let mut db = direct.acquire().await?.detach();
    db.execute("SET lock_timeout = '1s'").await?;
    for (parent, part) in store::due_partitions(&mut db, Utc::now().date_naive()).await? {
        let outlived = if parent == "outbox" { 0 } else { store::outlive(&mut db, &part).await? };
        // Names come from the catalog and from our own pattern: letters, digits and _.
        let detach = format!("ALTER TABLE {parent} DETACH PARTITION {part} CONCURRENTLY");
        if let Err(error) = db.execute(AssertSqlSafe(detach)).await {
            // An earlier detach was cut off half-way: it only needs its end.
            tracing::debug!(error = %error, partition = part, "a detach did not go through; finishing an earlier one");
            db.execute(AssertSqlSafe(format!("ALTER TABLE {parent} DETACH PARTITION {part} FINALIZE"))).await?;
        }
        db.execute(AssertSqlSafe(format!("DROP TABLE {part}"))).await?;
        tracing::info!(partition = part, keys.outlived = outlived, "a day of history is gone");
    }
    Ok(())
}
