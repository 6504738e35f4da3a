use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{Scheduler, store};
use crate::runtime::TrapKind;

/// Before what could not be loaded is tried again, and the longest between looks whether the last job of a plugin that is
/// being retired is gone; in units of the poll interval.
const AGAIN: u32 = 12;

/// Longer than a NOTIFY takes, and shorter than a job waits for its next attempt.
const SOON: Duration = Duration::from_millis(100);

/// Brings this node to what should run whenever that may have changed, and looks again for as long as something waits: an
/// activation for its nodes, or a plugin that is being retired for its last job.
pub(super) async fn refresh(s: Arc<Scheduler>) {
    // In units of the poll interval; 0: nothing waits.
    let mut pause: u32 = 0;
    loop {
        tokio::select! {
            () = s.releases_changed.notified() => pause = 0,
            () = tokio::time::sleep(s.cluster.poll * pause), if pause > 0 => {}
            () = s.lifecycle.stopping() => return,
        }
        pause = match round(&s).await {
            Ok(Waits::Nothing) => 0,
            Ok(Waits::Nodes) => 1,
            Ok(Waits::Jobs) => (pause * 2).clamp(1, AGAIN),
            Err(error) => {
                tracing::error!(error = %error, "releases could not be brought up to date");
                1
            }
        };
    }
}

/// What a round leaves to be looked at again.
enum Waits {
    Nothing,
    /// An activation waits for nodes.
    Nodes,
    /// A retirement waits for its last job, maybe for days; each look reads all live jobs.
    Jobs,
}

async fn round(s: &Scheduler) -> Result<Waits, sqlx::Error> {
    let mut now = s.registry.refresh(&s.pool).await?;
    if now.waiting && s.registry.settle(&s.pool).await? > 0 {
        now = s.registry.refresh(&s.pool).await?;
    }
    if s.registry.serves_more() {
        // Jobs of these types may be waiting: blocked, or ready and passed by.
        s.bell.due_in(Duration::ZERO);
        s.bell.cursors().from_the_front();
        s.bell.wake();
    }
    if now.wanted {
        s.releases_wanted.notify_one();
    }
    let mut left = now.retiring;
    if now.retiring && leads(s).await? {
        // Every node has heard of it, by news or by its heartbeat.
        match s.operator.go_on_retiring(s.cluster.dead_after).await {
            Ok(more) => left = more,
            Err(error) => tracing::warn!(error = %error, "a plugin could not be retired yet"),
        }
    }
    Ok(match (now.waiting, left) {
        (true, _) => Waits::Nodes,
        (false, true) => Waits::Jobs,
        (false, false) => Waits::Nothing,
    })
}

/// One node does it for all.
async fn leads(s: &Scheduler) -> sqlx::Result<bool> {
    let mut db = s.pool.write().await?;
    let leads = store::lead(&mut db, "retirements", s.node, s.cluster.poll * AGAIN * 2).await?;
    db.done().await?;
    Ok(leads)
}

/// Loads and compiles what should be ready here, beside everything else: that may take a minute.
pub(super) async fn prepare(s: Arc<Scheduler>) {
    let mut again = false;
    loop {
        tokio::select! {
            () = s.releases_wanted.notified() => {}
            () = tokio::time::sleep(s.cluster.poll * AGAIN), if again => {}
            () = s.lifecycle.stopping() => return,
        }
        match s.registry.prepare(&s.pool).await {
            Ok(done) => {
                again = done.again;
                if done.loaded {
                    s.releases_changed.notify_one();
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "releases could not be made ready; they are tried again");
                again = true;
            }
        }
    }
}

/// Takes releases out of service that do harm. What could not be written is tried again: nothing of them runs here
/// meanwhile.
pub(super) async fn quarantine(s: Arc<Scheduler>) {
    let mut again = false;
    loop {
        tokio::select! {
            () = s.registry.tripped.notified() => {}
            () = tokio::time::sleep(s.cluster.heartbeat), if again => {}
            () = s.lifecycle.ended() => return,
        }
        again = false;
        let kinds = TrapKind::NAMES.map(str::to_owned);
        for (digest, bad, counted) in s.registry.stopped() {
            let counts = json!({ "trapped": bad, "of": counted, "node": s.node.0 });
            match s.operator.quarantine(digest, &counts, &kinds).await {
                Ok(did_it) => {
                    s.registry.is_told(digest);
                    s.releases_changed.notify_one();
                    if did_it {
                        tokio::spawn(make_good_soon(Arc::clone(&s)));
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %error, plugin.digest = %digest, "a release could not be put into quarantine yet");
                    again = true;
                }
            }
        }
    }
}

/// What ended on nodes that had not heard of it yet: most hear by NOTIFY, at once, and all with a heartbeat.
async fn make_good_soon(s: Arc<Scheduler>) {
    for wait in [SOON, s.cluster.confirm_within] {
        tokio::time::sleep(wait).await;
        make_good_now(&s).await;
    }
}

/// What is still owed after that, also by quarantines of a node that is gone: until nothing is.
pub(super) async fn make_good(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(s.cluster.poll * AGAIN) => make_good_now(&s).await,
            () = s.lifecycle.stopping() => return,
        }
    }
}

async fn make_good_now(s: &Scheduler) {
    let kinds = TrapKind::NAMES.map(str::to_owned);
    if let Err(error) = s.operator.make_good(s.cluster.confirm_within, &kinds).await {
        tracing::warn!(error = %error, "victims of a release could not be made good yet");
    }
}
