use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Worker;
use crate::queue::store;

const EVERY: Duration = Duration::from_secs(1);
/// A look from the front at least this far apart, and this many times as long as the last one took.
const FRONT: Duration = Duration::from_secs(60);
const FRONT_FACTOR: u32 = 50;
/// Cursors are kept for the next start this often, while they move.
const SAVE: u32 = 5;

/// Looks again for jobs whose place was passed before their transaction committed: every second where there was work, and
/// every minute everywhere.
pub(super) async fn run(worker: Arc<Worker>) {
    let cursors = worker.bell.cursors();
    let mut front = Instant::now();
    let mut seconds = 0_u32;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = worker.lifecycle.stopping() => return,
        }
        seconds = seconds.wrapping_add(1);
        // Also where nothing happens: what committed very late must not wait for the next job to come by.
        if front.elapsed() >= FRONT.max(cursors.front_took() * FRONT_FACTOR) {
            front = Instant::now();
            cursors.from_the_front();
            worker.bell.wake();
            continue;
        }
        let moved = cursors.moved();
        if moved.is_empty() {
            continue;
        }
        let saved = async {
            let mut db = worker.pool.write().await?;
            cursors.note_head(store::head(&mut db).await?);
            if seconds.is_multiple_of(SAVE) {
                store::save_cursors(&mut db, &moved).await?;
            }
            db.done().await
        };
        let saved: sqlx::Result<()> = saved.await;
        if let Err(error) = saved {
            tracing::debug!(error = %error, "cursors could not be kept");
        }
        if !cursors.second_look().is_empty() {
            worker.bell.wake();
        }
    }
}
