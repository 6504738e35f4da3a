use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::Instant};

use super::{
    clients::Place,
    event::{self, Position},
    hub::{Filter, Hub},
    store,
};

/// A client hears something at least this often.
const SIGN: Duration = Duration::from_secs(15);

/// What a client missed before this stream began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    pub after: Position,
    /// Here the reader stood when the client came: all beyond is sent by it.
    pub end: Place,
}

/// The events of one client, each a piece of `text/event-stream`. Dropped, its place is free.
pub struct Stream {
    pub(super) hub: Hub,
    pub(super) id: u64,
    pub(super) filter: Filter,
    pub(super) first: VecDeque<Bytes>,
    /// Where it began, perhaps ahead of this node's reader.
    pub(super) after: Position,
    pub(super) behind: Option<Behind>,
    pub(super) frames: mpsc::Receiver<Bytes>,
    pub(super) until: Instant,
}

impl Stream {
    /// Sent before anything that follows.
    pub fn say_first(&mut self, frame: Bytes) {
        self.first.push_back(frame);
    }

    /// `None`: it is over. Its time is up, it did not read, or the host stops; whoever comes again with the last id that they
    /// saw misses nothing.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.first.pop_front() {
                return Some(frame);
            }
            let lifecycle = self.hub.0.lifecycle.clone();
            if self.behind.is_some() {
                let until = self.until;
                tokio::select! {
                    is_there = self.catch_up() => {
                        if !is_there {
                            return None;
                        }
                        continue;
                    }
                    () = tokio::time::sleep_until(until) => return None,
                    () = lifecycle.stopping() => return None,
                    // The page is asked for anew.
                    () = tokio::time::sleep(SIGN) => return Some(event::bare_sign()),
                }
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.until) => return None,
                frame = self.frames.recv() => return frame,
                () = lifecycle.stopping() => return None,
                () = tokio::time::sleep(SIGN) => {}
            }
            // Under the lock nothing is handed out: where there is nothing to be read, the client has all up to there.
            let clients = self.hub.clients();
            match (self.frames.try_recv(), clients.place) {
                (Ok(frame), _) => return Some(frame),
                (Err(mpsc::error::TryRecvError::Empty), Some(place)) => {
                    return Some(event::sign(&place.at(place.position.max(self.after))));
                }
                (Err(_), _) => return None,
            }
        }
    }

    /// One page of what was missed. False: it could not be read; the client comes again.
    async fn catch_up(&mut self) -> bool {
        let Some(behind) = self.behind else { return true };
        let page = async {
            let Ok(_turn) = self.hub.0.catching_up.acquire().await else { return Err(sqlx::Error::PoolClosed) };
            let mut db = self.hub.0.pool.read().await?;
            store::page(&mut db, behind.after, behind.end.position, &self.filter).await
        };
        match page.await {
            Ok(page) => {
                let frames = page.events.iter().map(|(position, event)| event.frame(&behind.end.at(*position)));
                self.first.extend(frames);
                self.behind = page.next.map(|after| Behind { after, ..behind });
                true
            }
            Err(error) => {
                tracing::warn!(error = %error, "a client could not be told what it missed");
                false
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.leave(self.id);
    }
}
