use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Scheduler, store};
use crate::{
    ids::JobId,
    queue::{self, ENDED, WAITED},
};

/// At most one round of NOTIFYs in this time.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// While somebody waits, one look for all that wait: news may be lost.
const LOOK: Duration = Duration::from_secs(1);
/// Jobs of one NOTIFY, which takes less than 8,000 bytes: an id has 36 and a space.
const JOBS: usize = 200;

/// Tells other nodes, if there are any, what callers wait for here, and what has ended here that theirs wait for.
pub(super) async fn tell(s: Arc<Scheduler>) {
    loop {
        let news = tokio::select! {
            news = s.bell.waits().news() => news,
            () = s.lifecycle.ended() => return,
        };
        if s.peers.load(Ordering::Relaxed) > 0 {
            let told = async {
                send(&s, WAITED, &news.waited).await?;
                send(&s, ENDED, &news.ended).await
            };
            let told: sqlx::Result<()> = told.await;
            if let Err(error) = told {
                tracing::debug!(error = %error, "other nodes were not told what is waited for; they will find it");
            }
        }
        tokio::time::sleep(DEBOUNCE).await;
    }
}

async fn send(s: &Scheduler, channel: &str, jobs: &HashSet<JobId>) -> sqlx::Result<()> {
    let jobs: Vec<_> = jobs.iter().map(JobId::to_string).collect();
    for jobs in jobs.chunks(JOBS) {
        let mut db = s.pool.write().await?;
        store::notify(&mut db, channel, &format!("{} {}", s.node, jobs.join(" "))).await?;
        db.done().await?;
    }
    Ok(())
}

/// What another node said on one of the two channels.
pub(super) fn hear(s: &Scheduler, channel: &str, payload: &str) {
    let Some((node, jobs)) = payload.split_once(' ') else { return };
    if node == s.node.to_string() {
        return;
    }
    let jobs: Vec<JobId> = jobs.split(' ').filter_map(|job| job.parse().ok()).collect();
    if channel == WAITED {
        s.bell.waits().heard_wait(&jobs);
    } else {
        s.bell.waits().heard_end(&jobs);
    }
}

/// The safety net: one statement a second for all that wait here, and none where nobody does.
pub(super) async fn look(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = s.bell.waits().begun() => {}
            () = s.lifecycle.stopping() => return,
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = s.lifecycle.stopping() => return,
            }
            let waited = s.bell.waits().here();
            if waited.is_empty() {
                break;
            }
            let over = async {
                let mut db = s.pool.read().await?;
                queue::store::over(&mut db, &waited).await
            };
            match over.await {
                Ok(over) => s.bell.waits().heard_end(&over),
                Err(error) => tracing::debug!(error = %error, "the look for jobs that somebody waits for failed"),
            }
        }
    }
}
