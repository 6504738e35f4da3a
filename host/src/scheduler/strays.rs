use std::{sync::Arc, time::Duration};

use super::Scheduler;
use crate::{ids::Tier, queue};

const EVERY: Duration = Duration::from_secs(60);

/// Gives back jobs that the table says this node runs and that it does not: claims whose answer was lost on the way.
pub(super) async fn run(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = s.lifecycle.stopping() => return,
        }
        for tier in Tier::ALL {
            let returned = async {
                let mut db = s.pool.acquire().await?;
                // Jobs claimed just now may not be in our list yet, so the young ones are left alone.
                queue::store::return_strays(&mut db, tier, s.node, &s.running.ids(), EVERY).await
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
