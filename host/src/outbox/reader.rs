use std::time::{Duration, Instant};

use super::{
    clients::Place,
    event::Position,
    hub::Hub,
    store::{self, Look},
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
        hand_out(hub, place, &look, is_full);
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

fn hand_out(hub: &Hub, place: Place, look: &Look, is_full: bool) {
    let last = look.batches.last().map_or(place.position, |last| Position::behind(last.xid, last.seq));
    // Nothing is left below the horizon, and nothing will be written there any more.
    let up_to = if is_full { last } else { last.max(Position::before(look.horizon)) };
    let mut clients = hub.clients();
    let slow = clients.hand_out(&look.batches, up_to);
    drop(clients);
    if !slow.is_empty() {
        tracing::info!(streams = slow.len(), "clients that did not read their events were cut off");
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
