use std::{fmt, str::FromStr};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::ids::JobId;

/// A place in the order of events: the transaction, the batch within it, the event within that, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub xid: i64,
    pub seq: i64,
    pub n: i64,
}

impl Position {
    /// Before all that this transaction and later ones wrote.
    pub fn before(xid: i64) -> Self {
        Self { xid, seq: 0, n: 0 }
    }

    /// Behind all of a batch.
    pub fn behind(xid: i64, seq: i64) -> Self {
        Self { xid, seq, n: i64::MAX }
    }
}

/// What a client goes on from: the id of an event, opaque to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub era: i64,
    /// When it was given out, in seconds since the epoch.
    pub at: i64,
    pub position: Position,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { era, at, position: Position { xid, seq, n } } = self;
        write!(f, "{era:x}-{at:x}-{xid:x}-{seq:x}-{n:x}")
    }
}

/// It is none that we gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMark;

impl FromStr for Mark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        let number = |part: &str| {
            let sound = (1..=16).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            i64::from_str_radix(part, 16).ok().filter(|_| sound)
        };
        let numbers: Option<Vec<i64>> = text.split('-').map(number).collect();
        match numbers.as_deref() {
            Some(&[era, at, xid, seq, n]) => Ok(Self { era, at, position: Position { xid, seq, n } }),
            _ => Err(NoMark),
        }
    }
}

/// What happened to a job, as the outbox tells it.
#[derive(Clone, Debug)]
pub struct Event {
    pub job: JobId,
    pub tenant: String,
    pub job_type: String,
    pub state: String,
    /// Of the dead.
    pub reason: Option<String>,
    pub at: DateTime<Utc>,
}

impl Event {
    /// Its name on the wire.
    fn name(&self) -> String {
        format!("job.{}", self.state)
    }

    fn data(&self) -> Map<String, Value> {
        let mut data = about(self.job, &self.tenant, &self.job_type, self.at);
        data.insert("state".to_owned(), self.state.clone().into());
        if let Some(reason) = &self.reason {
            data.insert("reason".to_owned(), reason.clone().into());
        }
        data
    }

    pub fn frame(&self, id: &Mark) -> Bytes {
        frame(Some(id), &self.name(), self.data())
    }

    /// How things are, as the first word to somebody who follows one job.
    pub fn snapshot(&self) -> Bytes {
        frame(None, "snapshot", self.data())
    }
}

/// What every event says of its job.
pub(super) fn about(job: JobId, tenant: &str, job_type: &str, at: DateTime<Utc>) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("job".to_owned(), job.to_string().into());
    data.insert("type".to_owned(), job_type.into());
    data.insert("tenant".to_owned(), tenant.into());
    data.insert("at".to_owned(), at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true).into());
    data
}

/// One event of `text/event-stream`. JSON has no line break outside of its texts, and none in them, so it is one line.
pub(super) fn frame(id: Option<&Mark>, name: &str, data: Map<String, Value>) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}event: {name}\ndata: {}\n\n", Value::Object(data)).into()
}

/// The first words of a stream: how soon to come again, and where it begins. A block without data is no event, and sets the
/// id all the same (the HTML standard, 9.2.6).
pub(super) fn opening(id: &Mark) -> Bytes {
    format!("retry: {RETRY_MS}\nid: {id}\n\n").into()
}

/// A sign of life; with it the id goes on, so that whoever was told nothing for long need not be told all of it later.
pub(super) fn sign(id: &Mark) -> Bytes {
    format!("id: {id}\n: still there\n\n").into()
}

/// A sign of life while a client is told what it missed.
pub(super) fn bare_sign() -> Bytes {
    Bytes::from_static(b": still there\n\n")
}

/// Events between the id that the client named and this stream's beginning may be missing.
pub(super) fn gap(reason: &str) -> Bytes {
    let mut data = Map::new();
    data.insert("reason".to_owned(), reason.into());
    frame(None, "gap", data)
}

/// How long a client waits before it comes again.
const RETRY_MS: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_form_and_nothing_else_is_one() {
        for position in [Position::before(7), Position::behind(1 << 40, 9), Position { xid: 1, seq: 2, n: 3 }] {
            let mark = Mark { era: 9_007_199_254_740_991, at: 1_900_000_000, position };
            assert_eq!(mark.to_string().parse(), Ok(mark));
        }
        for text in
            ["", "1", "1-2-3-4", "1-2-3-4-5-6", "1-2-3-4-+5", "1-2-3-4-", "g-2-3-4-5", "1-2-3-4-ffffffffffffffff"]
        {
            assert_eq!(text.parse::<Mark>(), Err(NoMark), "{text}");
        }
    }

    #[test]
    fn positions_are_in_the_order_of_their_transactions() {
        let of = |xid, seq, n| Position { xid, seq, n };
        assert!(Position::before(5) < of(5, 1, 1) && of(5, 1, 1) < of(5, 1, 2) && of(5, 1, 2) < of(5, 2, 1));
        assert!(of(5, 2, 9) < Position::behind(5, 2) && Position::behind(5, 2) < Position::before(6));
    }

    #[test]
    fn whatever_a_name_holds_an_event_stays_one() {
        let event = Event {
            job: JobId::new(),
            tenant: "t\n\ndata: x\r".to_owned(),
            job_type: "a".to_owned(),
            state: "dead".to_owned(),
            reason: Some("expired".to_owned()),
            at: DateTime::default(),
        };
        let mark = Mark { era: 1, at: 2, position: Position::before(3) };
        let text = String::from_utf8(event.frame(&mark).to_vec()).expect("text");
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.starts_with("id: 1-2-3-0-0\nevent: job.dead\ndata: {"), "{text}");
        assert!(text.ends_with("}\n\n") && text.contains("\"reason\":\"expired\""), "{text}");
    }
}
