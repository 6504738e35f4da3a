use std::{sync::Arc, time::Duration};

use super::Scheduler;
use crate::runtime::TrapKind;

/// A step is one second's worth.
const STEP: Duration = Duration::from_secs(1);

/// Carries out bulk redrives: a step a second while there is one, otherwise a look every poll.
pub(super) async fn run(s: Arc<Scheduler>) {
    let mut wait = s.cluster.poll;
    let traps = TrapKind::NAMES.map(str::to_owned);
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = s.redrives.notified() => {}
            () = s.lifecycle.stopping() => return,
        }
        wait = match s.operator.step(&traps).await {
            Ok(true) => STEP,
            Ok(false) => s.cluster.poll * 12,
            Err(error) => {
                tracing::warn!(error = %error, "a bulk redrive could not go on");
                s.cluster.poll
            }
        };
    }
}
