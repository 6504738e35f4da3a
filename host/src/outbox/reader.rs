use std::time::{Duration, Instant};

use super::{
    clients::Place,
    event::Position,
    hub::Hub,
    store::{self, Batch, Look},
};

/// Batches of one look.
const BATCHES: i64 = 64;
/// Without news it looks this often, while somebody follows.
const SAFETY: Duration = Duration::from_secs(1);
/// While an earlier transaction holds back what is there, it looks again after this, and after twice as long each time.
const HELD: Duration = Duration::from_millis(20);
/// How often the time until which events are written is put off.
const KEEP: Duration = Duration::from_secs(30);
/// Nobody may follow for this long before it goes to rest: beginning again is a durable commit.
const LINGER: Duration = Duration::from_secs(10);
/// Who has no room for an event is waited for so long, ten times.
const PRESSED: Duration = Duration::from_millis(10);
/// After an error of the database.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads the outbox for all clients of this node, while there are some.
pub(super) async fn run(hub: Hub) {
    loop {
        tokio::select! {
            () = hub.0.wake.notified() => {}
            () = hub.0.lifecycle.stopping() => break,
        }
        if hub.clients().place.is_some() {
            tokio::select! {
                () = follow(&hub) => {}
                () = hub.0.lifecycle.stopping() => break,
            }
        }
    }
    hub.cut_all();
}

/// Until nobody follows any more.
async fn follow(hub: &Hub) {
    // Who began has just put the time off.
    let mut kept = Instant::now();
    let mut must_keep = false;
    let mut alone: Option<Instant> = None;
    let mut held = HELD;
    loop {
        if must_keep || kept.elapsed() >= KEEP {
            match keep(hub).await {
                Ok(true) => (kept, must_keep) = (Instant::now(), false),
                // Another era: all clients begin anew, and are told so.
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(error = %error, "the log of events could not be kept going; it is tried again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
        }
        let Some(place) = hub.clients().place else { return };
        let look = match read(hub, place.position).await {
            Ok(look) => look,
            Err(error) => {
                tracing::warn!(error = %error, "events could not be read; they are looked for again");
                // The server may be another one by then.
                must_keep = true;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let is_full = i64::try_from(look.batches.len()).is_ok_and(|batches| batches >= BATCHES);
        hand_out(hub, place, &look, is_full).await;
        if rest(hub, &mut alone) {
            return;
        }
        if is_full {
            continue;
        }
        held = if look.held { (held * 2).min(SAFETY) } else { HELD };
        let pause = if look.held { held } else { SAFETY };
        tokio::select! {
            () = hub.0.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// False: what was written is not all that happened since.
async fn keep(hub: &Hub) -> sqlx::Result<bool> {
    let head = hub.keep().await?;
    if hub.clients().place.is_some_and(|place| place.era == head.era) {
        return Ok(true);
    }
    tracing::warn!("the log of events was interrupted; clients that follow begin anew");
    hub.cut_all();
    Ok(false)
}

async fn read(hub: &Hub, after: Position) -> sqlx::Result<Look> {
    let mut db = hub.0.pool.read().await?;
    store::read(&mut db, after, BATCHES).await
}

/// Hands out what a look brought. Whoever has no room for it is waited for a moment, and then no more.
async fn hand_out(hub: &Hub, place: Place, look: &Look, is_full: bool) {
    let events: Vec<_> = look.batches.iter().flat_map(Batch::events).collect();
    let (mut done, mut cut) = (0, 0);
    while let Some(rest) = events.get(done..).filter(|rest| !rest.is_empty()) {
        let handed = {
            let mut clients = hub.clients();
            if clients.place.is_none() {
                return;
            }
            clients.relax();
            clients.hand_out(rest)
        };
        done += handed.done;
        cut += handed.cut;
        if handed.is_pressed {
            tokio::time::sleep(PRESSED).await;
        }
    }
    let last = look.batches.last().map_or(place.position, |last| Position::behind(last.xid, last.seq));
    // Nothing is left below the horizon, and nothing will be written there any more.
    hub.clients().pass(if is_full { last } else { last.max(Position::before(look.horizon)) });
    if cut > 0 {
        tracing::info!(streams = cut, "clients that did not read their events were cut off");
    }
}

/// Whether nobody has followed for a while; then nothing is read until somebody does.
fn rest(hub: &Hub, alone: &mut Option<Instant>) -> bool {
    let mut clients = hub.clients();
    if !clients.is_empty() {
        *alone = None;
        return false;
    }
    let since = *alone.get_or_insert_with(Instant::now);
    if since.elapsed() < LINGER {
        return false;
    }
    clients.clear();
    true
}
