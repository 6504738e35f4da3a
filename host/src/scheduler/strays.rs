use std::sync::Arc;

use super::Scheduler;
use crate::{ids::Tier, queue};

/// How often, in units of the time after which a silent node counts as dead.
const EVERY: u32 = 6;

/// Gives back jobs that the table says this node runs and that it does not: claims whose answer was lost on the way.
pub(super) async fn run(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(s.cluster.dead_after * EVERY) => {}
            () = s.lifecycle.stopping() => return,
        }
        for tier in Tier::ALL {
            let returned = async {
                let mut db = s.pool.write().await?;
                // Jobs claimed just now may not be in our list yet, so the young ones are left alone.
                let mine = s.running.ids();
                let ready = queue::store::return_strays(&mut db, tier, s.node, &mine, s.cluster.dead_after).await?;
                db.done().await.map(|()| ready)
            };
            match returned.await {
                Ok(ready) if !ready.is_empty() => {
                    tracing::warn!(jobs = ready.len(), "jobs that this node did not know it held were given back");
                    s.bell.ready(&ready);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "the look for strays failed"),
            }
        }
    }
}
