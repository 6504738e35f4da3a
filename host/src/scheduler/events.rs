use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Scheduler, store};
use crate::outbox::{LISTENS, NEWS, TOLD};

/// At most one NOTIFY that something was committed in this time.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// What is told by the way goes to other nodes at most so often.
const ROUND: Duration = Duration::from_secs(1);
/// New clients are told of together.
const MOMENT: Duration = Duration::from_millis(200);
/// What clients here follow is told again so often: other nodes forget it, and new ones have not heard it.
const AGAIN: Duration = Duration::from_secs(30);

/// What was committed here: our reader looks at once, and those of other nodes, if somebody follows there.
pub(super) async fn tell(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = s.bell.change() => {}
            () = s.lifecycle.ended() => return,
        }
        s.events.ring();
        if s.events.live().is_wanted() && s.events.live().is_followed_elsewhere() {
            send(&s, NEWS, &[String::new()]).await;
        }
        tokio::time::sleep(DEBOUNCE).await;
    }
}

/// What clients of this node follow.
pub(super) async fn tell_keys(s: Arc<Scheduler>) {
    let mut again = tokio::time::interval(AGAIN);
    loop {
        let is_all = tokio::select! {
            () = s.events.live().new_keys() => false,
            _ = again.tick() => true,
            () = s.lifecycle.stopping() => return,
        };
        tokio::time::sleep(MOMENT).await;
        send(&s, LISTENS, &s.events.live().take_keys(is_all)).await;
    }
}

/// What happens here to jobs that clients of other nodes follow.
pub(super) async fn tell_items(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = s.events.live().news() => {}
            () = s.lifecycle.ended() => return,
        }
        send(&s, TOLD, &s.events.live().take_items()).await;
        tokio::time::sleep(ROUND).await;
    }
}

/// News may be lost: readers look by themselves, and nobody is owed the rest.
async fn send(s: &Scheduler, channel: &str, payloads: &[String]) {
    if s.peers.load(Ordering::Relaxed) == 0 {
        return;
    }
    for payload in payloads {
        let told = async {
            let mut db = s.pool.write().await?;
            store::notify(&mut db, channel, &format!("{} {payload}", s.node)).await?;
            db.done().await
        };
        let told: sqlx::Result<()> = told.await;
        if let Err(error) = told {
            tracing::debug!(error = %error, channel, "other nodes were not told of events");
        }
    }
}

/// What another node said on one of the three channels.
pub(super) fn hear(s: &Scheduler, channel: &str, payload: &str) {
    let Some((node, said)) = payload.split_once(' ') else { return };
    if node == s.node.to_string() {
        return;
    }
    match channel {
        LISTENS => s.events.live().heard_keys(said),
        TOLD => s.events.live().heard_items(said),
        _ => s.events.ring(),
    }
}
