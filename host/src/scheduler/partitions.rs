use std::{sync::Arc, time::Duration};

use chrono::{Days, Utc};

use super::Scheduler;
use crate::{db::Pool, queue, webhooks};

/// Days of archive partitions that exist ahead of today. Yesterday is made too: nodes' clocks differ.
const AHEAD: i32 = 14;
const EVERY: Duration = Duration::from_secs(6 * 3600);

/// Without a partition of the day nothing can be settled, so this also runs before the host is ready.
pub async fn make_days(pool: &Pool) -> sqlx::Result<()> {
    let yesterday = Utc::now().date_naive() - Days::new(1);
    let mut tx = pool.begin().await?;
    // Keeps two nodes from making the same partition. Hosts that start at once wait for the first one, as long as it takes.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('usher_archive_days'))").execute(&mut *tx).await?;
    // Keeps us from queueing every settle behind us while some long reader holds the archive.
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *tx).await?;
    let made = queue::store::make_archive_days(&mut tx, yesterday, AHEAD + 2).await?
        + webhooks::store::make_days(&mut tx, yesterday, AHEAD + 2).await?;
    tx.commit().await?;
    if made > 0 {
        tracing::info!(partitions = made, "archive partitions made");
    }
    Ok(())
}

pub(super) async fn run(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = s.lifecycle.stopping() => return,
        }
        if let Err(error) = make_days(&s.pool).await {
            tracing::error!(error = %error, "archive partitions could not be made");
        }
    }
}
