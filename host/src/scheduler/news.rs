use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sqlx::postgres::PgListener;

use super::{Scheduler, events, store, waits};
use crate::{
    auth::{self, service},
    operate::{CANCEL, FLUSH, REDRIVE, RESUME},
    outbox,
    queue::{ENDED, WAITED},
    ratelimit,
};

/// Channel: "NODE QUEUE", work is ready.
const READY: &str = "usher_ready";
/// Channel: another release was activated.
const ACTIVATION: &str = "usher_activation";
/// Channel: jobs came in by SQL.
const WAKE: &str = "usher_wake";
/// At most one round of NOTIFYs in this time.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Before a lost listening connection is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Hears the other nodes. News may be lost; the poll finds what they would have said.
pub(super) async fn listen(s: Arc<Scheduler>) {
    loop {
        let heard = async {
            let mut listener = PgListener::connect_with(&s.direct).await?;
            listener.listen_all([READY, ACTIVATION, CANCEL, RESUME, REDRIVE, WAKE, FLUSH]).await?;
            listener.listen_all([ratelimit::NEWS, auth::REVOKED, service::NEWS]).await?;
            listener.listen_all([WAITED, ENDED, outbox::NEWS, outbox::LISTENS, outbox::TOLD]).await?;
            loop {
                let note = listener.recv().await?;
                match note.channel() {
                    ACTIVATION => s.releases_changed.notify_one(),
                    CANCEL => note.payload().parse().iter().for_each(|id| s.running.cancel(&[*id])),
                    WAKE => s.bell.due_in(Duration::ZERO),
                    RESUME => s.bell.resumed(note.payload()),
                    REDRIVE => s.redrives.notify_one(),
                    ratelimit::NEWS => s.rates_changed.notify_one(),
                    auth::REVOKED => s.revocations_changed.notify_one(),
                    FLUSH => flush(&s, note.payload()),
                    service::NEWS => s.keys_changed.notify_one(),
                    channel @ (outbox::NEWS | outbox::LISTENS | outbox::TOLD) => {
                        events::hear(&s, channel, note.payload());
                    }
                    channel @ (WAITED | ENDED) => waits::hear(&s, channel, note.payload()),
                    _ => match note.payload().split_once(' ') {
                        Some((node, queue)) if node != s.node.to_string() => s.bell.heard(queue),
                        _ => {}
                    },
                }
            }
        };
        let heard: Result<(), sqlx::Error> = tokio::select! {
            heard = heard => heard,
            () = s.lifecycle.stopping() => return,
        };
        if let Err(error) = heard {
            tracing::warn!(error = %error, "the listening connection was lost");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tells the other nodes, if there are any, which queues have work; never in the transaction that made it.
pub(super) async fn tell(s: Arc<Scheduler>) {
    loop {
        let queues = tokio::select! {
            queues = s.bell.news() => queues,
            () = s.lifecycle.ended() => return,
        };
        if s.peers.load(Ordering::Relaxed) > 0 {
            for queue in queues {
                let told = async {
                    let mut db = s.pool.write().await?;
                    store::notify(&mut db, READY, &format!("{} {queue}", s.node)).await?;
                    db.done().await
                };
                if let Err(error) = told.await {
                    tracing::debug!(error = %error, "other nodes were not told of work; they will find it");
                }
            }
        }
        tokio::time::sleep(DEBOUNCE).await;
    }
}

/// Reads the rate limits and what is held whenever they may have changed. What fails, the next beat makes good.
pub(super) async fn refresh_rates(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = s.rates_changed.notified() => {}
            () = s.lifecycle.ended() => return,
        }
        if let Err(error) = s.limiter.refresh().await {
            tracing::warn!(error = %error, "rate limits could not be brought up to date");
        }
    }
}

/// Reads which tokens were revoked whenever some may have been. What fails, the next beat makes good.
pub(super) async fn refresh_revocations(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = s.revocations_changed.notified() => {}
            () = s.lifecycle.ended() => return,
        }
        if let Err(error) = s.verifier.refresh(&s.pool).await {
            tracing::warn!(error = %error, "revoked tokens could not be brought up to date");
        }
    }
}

/// "NODE CACHE …": another node was told to forget what it has read, and so are all.
fn flush(s: &Scheduler, said: &str) {
    let mut words = said.split(' ');
    if words.next().is_some_and(|node| node == s.node.to_string()) {
        return;
    }
    for cache in words {
        match cache {
            "schemas" => s.releases_changed.notify_one(),
            "jwks" => s.verifier.flush(),
            "config" => {
                s.rates_changed.notify_one();
                s.revocations_changed.notify_one();
                s.keys_changed.notify_one();
            }
            _ => {}
        }
    }
}

/// Reads the keys of services whenever they may have changed. What fails, the next beat makes good.
pub(super) async fn refresh_keys(s: Arc<Scheduler>) {
    loop {
        tokio::select! {
            () = s.keys_changed.notified() => {}
            () = s.lifecycle.ended() => return,
        }
        if let Err(error) = s.services.refresh().await {
            tracing::warn!(error = %error, "the keys of services could not be brought up to date");
        }
    }
}
