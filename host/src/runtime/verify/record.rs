use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{
    effects::script::End,
    ids::{Digest, JobId},
    journal::{Recorded, Restored},
    queue::{self, store::Recording},
    runtime::{
        TrapKind,
        stage::{Finish, Played, Scene},
    },
};

/// What a finished job left, as far as another run of it can be held against it.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: JobId,
    pub job_type: String,
    /// That ended it.
    pub release: Digest,
    /// Its effects that were answered, in order.
    pub answered: Vec<Recorded>,
    /// The call that its last attempt ended in.
    pub open: Option<Recorded>,
    pub end: Ending,
    /// False: when its last attempt began is not known, and no effect tells.
    pub knows_clock: bool,
    scene: Scene,
}

/// How its last attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// JSON text.
    Completed(String),
    /// By the guest's own word; `kind` as in the job's errors.
    Said { kind: &'static str, message: String },
    /// Not by the guest: a cancel, a provider that gave no answer, a limit. Up to there it can be compared, and no further.
    Cut {
        /// It trapped, or ran into a limit.
        trapped: bool,
    },
}

const PERMANENT: &str = "guest-permanent";
const RETRY: &str = "guest-retry";

/// Why a job is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skipped {
    Nothing,
    Pruned,
    Incomplete,
    Unreadable,
    Nondeterministic,
    NoRelease,
    NoClock,
    NotRun,
}

impl Skipped {
    pub fn why(self) -> &'static str {
        match self {
            Self::Nothing => "it never ran, or was cut off before it had done anything",
            Self::Pruned => "its history is kept no longer (retention)",
            Self::Incomplete => "its journal does not hold all that it did",
            Self::Unreadable => "its journal is not readable by this version",
            Self::Nondeterministic => "it died since its code did not keep to its journal",
            Self::NoRelease => "the release that ended it is not stored any more, or cannot be loaded",
            Self::NoClock => "when it began is not recorded, and its result depends on that",
            Self::NotRun => "it was not run, since too many before it ran into their time limits",
        }
    }
}

/// The first thing that a run did otherwise than the record has it.
#[derive(Clone, Debug)]
pub enum Mismatch {
    /// Another request than the recorded one at its place.
    Request { seq: u32, message: String },
    /// A request that the journal does not know.
    Beyond { seq: u32, call: String, request: Value },
    /// It ended without a request that the journal has.
    Short { seq: u32, call: String, request: Value },
    /// All its effects are the same.
    End { was: String, is: String },
    /// `kind` as in a job's errors.
    Trapped { kind: String, message: String },
    /// The host ended it, and not for what it asked.
    Stopped { kind: &'static str, message: String },
}

impl Record {
    pub fn of(past: Recording) -> Result<Self, Skipped> {
        let rows: Vec<Restored> = match past.journal {
            Some(journal) => serde_json::from_value(journal).map_err(|_| Skipped::Unreadable)?,
            None => Vec::new(),
        };
        let rows: Option<Vec<Recorded>> = rows.iter().map(Restored::recorded).collect();
        let mut answered = rows.ok_or(Skipped::Unreadable)?;
        if past.reason.as_deref() == Some("nondeterministic") {
            return Err(Skipped::Nondeterministic);
        }
        let release = past.release.or_else(|| answered.last().map(|row| row.release)).ok_or(Skipped::Nothing)?;
        if !answered.iter().zip(0..).all(|(row, seq)| row.seq == seq) {
            return Err(Skipped::Incomplete);
        }
        let word = |field: &str| past.error.as_ref().and_then(|error| error[field].as_str()).unwrap_or_default();
        let said = |kind| Ending::Said { kind, message: word("message").to_owned() };
        let end = match (past.state.as_str(), word("kind")) {
            ("completed", _) => Ending::Completed(past.result.ok_or(Skipped::Unreadable)?),
            ("dead", PERMANENT) => said(PERMANENT),
            ("dead", RETRY) => said(RETRY),
            (state, kind) => {
                let trapped = state == "dead" && TrapKind::NAMES.iter().any(|name| kind.starts_with(name));
                Ending::Cut { trapped }
            }
        };
        let mut open = None;
        if answered.last().is_some_and(|row| row.answer.is_none()) {
            open = answered.pop();
        }
        if answered.iter().any(|row| row.answer.is_none()) {
            return Err(Skipped::Incomplete);
        }
        let is_cut = matches!(end, Ending::Cut { .. });
        // An attempt that ended by itself did not come back to a call that an earlier one had left open.
        let open = open.filter(|_| is_cut);
        if is_cut && answered.is_empty() && open.is_none() {
            return Err(Skipped::Nothing);
        }
        let journal: Vec<_> = answered.iter().chain(&open).cloned().collect();
        let began = past.base_ms.and_then(|ms| u64::try_from(ms).ok());
        let scene = Scene {
            id: past.id,
            job_type: past.job_type.clone(),
            payload: past.payload,
            tenant: past.tenant,
            attempt: past.attempt.cast_unsigned(),
            max_attempts: past.max_attempts.cast_unsigned(),
            at_ms: began.unwrap_or_else(|| u64::try_from(past.finished_at.timestamp_millis()).unwrap_or_default()),
            journal,
            answers: Vec::new(),
        };
        Ok(Self {
            id: past.id,
            job_type: past.job_type,
            release,
            knows_clock: began.is_some() || !answered.is_empty(),
            answered,
            open,
            end,
            scene,
        })
    }

    /// The job again, with its journal as the world.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Its last attempt ended before the guest was done.
    pub fn is_cut(&self) -> bool {
        matches!(self.end, Ending::Cut { .. })
    }

    pub fn mismatch(&self, played: &Played) -> Option<Mismatch> {
        let request = |seq| {
            let message = match &played.end {
                Finish::Stopped { kind: "nondeterministic", message } => message.clone(),
                end => end.to_string(),
            };
            Some(Mismatch::Request { seq, message })
        };
        for (effect, n) in played.effects.iter().zip(0..) {
            if n < self.answered.len() {
                match effect.end {
                    End::Recorded(_) => continue,
                    _ => return request(effect.seq),
                }
            }
            // From here on the journal has no answer.
            return match &self.open {
                Some(open) if open.request_hash != effect.request_hash => request(effect.seq),
                _ if self.is_cut() => None,
                _ => {
                    let request = effect.redacted.clone();
                    Some(Mismatch::Beyond { seq: effect.seq, call: effect.call(), request })
                }
            };
        }
        match &played.end {
            Finish::Trapped { kind, message } if self.end != (Ending::Cut { trapped: true }) => {
                return Some(Mismatch::Trapped { kind: kind.clone(), message: message.clone() });
            }
            Finish::Stopped { kind, message } => {
                let kind: &'static str = kind;
                return Some(Mismatch::Stopped { kind, message: message.clone() });
            }
            _ => {}
        }
        if let Some(row) = self.answered.get(played.effects.len()).or(self.open.as_ref()) {
            return Some(Mismatch::Short { seq: row.seq, call: call(row), request: row.request.clone() });
        }
        let (was, is) = (self.end.to_string(), said(&played.end));
        (!self.is_cut() && was != is).then_some(Mismatch::End { was, is })
    }
}

/// `email.send`.
pub fn call(row: &Recorded) -> String {
    format!("{}.{}", row.provider, row.function)
}

/// An end in the words of a job's errors, as far as they keep them.
pub fn said(end: &Finish) -> String {
    match end {
        Finish::Retry { message, .. } => format!("{RETRY}: {}", queue::kept_words(message)),
        Finish::Permanent(message) => format!("{PERMANENT}: {}", queue::kept_words(message)),
        end => end.to_string(),
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed(result) => write!(f, "completed {result}"),
            Self::Said { kind, message } => write!(f, "{kind}: {message}"),
            Self::Cut { .. } => f.write_str("cut off"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { message, .. } => f.write_str(message),
            Self::Beyond { seq, call, request } => {
                write!(f, "effect {seq} ({call}) is not in the journal: {request}")
            }
            Self::Short { seq, call, request } => {
                write!(f, "effect {seq} ({call}) is not asked for any more: {request}")
            }
            Self::End { was, is } => write!(f, "it ends differently: was {was}, is {is}"),
            Self::Trapped { kind, message } => write!(f, "{kind}: {message}"),
            Self::Stopped { kind, message } => write!(f, "{kind}: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One that completed, with so many effects, the last of them without an answer.
    fn past(effects: i32) -> Recording {
        let effect = |seq: i32| {
            let is_open = seq + 1 == effects;
            json!({
                "seq": seq, "generation": 0, "effectId": JobId::new(), "provider": "email", "function": "send",
                "class": "resend", "requestHash": "00".repeat(32), "request": {}, "tries": 1,
                "state": if is_open { "deferred" } else { "ended" }, "release": "11".repeat(32), "baseMs": 7,
                "startedAt": "2026-01-01T00:00:00Z", "endedAt": "2026-01-01T00:00:01Z", "note": null,
                "answer": if is_open { Value::Null } else { json!({"kind": "ok", "value": {}}) },
            })
        };
        Recording {
            id: JobId::new(),
            tenant: "t".to_owned(),
            job_type: "x".to_owned(),
            state: "completed".to_owned(),
            reason: None,
            attempt: 1,
            max_attempts: 3,
            payload: "{}".to_owned(),
            release: Some(Digest([1; 32])),
            result: Some("1".to_owned()),
            error: None,
            journal: Some((0..effects).map(effect).collect()),
            base_ms: None,
            finished_at: chrono::DateTime::default(),
        }
    }

    fn dead(effects: i32, reason: &str, kind: &str) -> Recording {
        let error = Some(json!({"kind": kind, "message": "no"}));
        Recording { state: "dead".to_owned(), reason: Some(reason.to_owned()), result: None, error, ..past(effects) }
    }

    #[test]
    fn a_call_left_open_counts_only_where_the_last_attempt_ended_in_it() {
        let record = Record::of(past(3)).expect("a record");
        assert_eq!((record.answered.len(), record.open.is_some(), record.scene().journal.len()), (2, false, 2));
        let record = Record::of(dead(3, "retries-exhausted", "effect-retry")).expect("a record");
        assert_eq!((record.answered.len(), record.open.is_some(), record.scene().journal.len()), (2, true, 3));
        assert!(record.is_cut() && record.knows_clock);
        let record = Record::of(dead(2, "permanent", "guest-permanent")).expect("a record");
        assert_eq!(record.end, Ending::Said { kind: PERMANENT, message: "no".to_owned() });
        let record = Record::of(dead(2, "trapped", "cpu-limit")).expect("a record");
        assert_eq!(record.end, Ending::Cut { trapped: true });
    }

    #[test]
    fn what_says_nothing_is_skipped_with_its_reason() {
        let gap = |at: usize| {
            let mut past = past(4);
            if let Some(Value::Array(rows)) = &mut past.journal {
                rows.remove(at);
            }
            past
        };
        for (past, why) in [
            (Recording { release: None, ..past(0) }, Skipped::Nothing),
            (dead(0, "expired", "expired"), Skipped::Nothing),
            (dead(2, "nondeterministic", "nondeterministic"), Skipped::Nondeterministic),
            (gap(1), Skipped::Incomplete),
            (Recording { journal: Some(json!([{"seq": 0}])), ..past(0) }, Skipped::Unreadable),
        ] {
            assert_eq!(Record::of(past).map(|record| record.id), Err(why));
        }
        let plain = Record::of(past(0)).expect("a record");
        assert!(
            !plain.knows_clock && Record::of(Recording { base_ms: Some(5), ..past(0) }).is_ok_and(|r| r.knows_clock)
        );
    }
}
