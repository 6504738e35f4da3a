use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::limits::{Cpu, Memory};
use crate::{
    effects::{Attempt, Stop, World},
    ids::JobId,
    submit::{ChildOf, PreparedJob, Submitter},
    webhooks::Publication,
};

/// The host's side of one attempt.
pub(super) struct State {
    pub job: JobId,
    pub job_type: String,
    pub attempt: Arc<Attempt>,
    pub world: World,
    pub submitter: Submitter,
    pub memory: Memory,
    pub cpu: Arc<Cpu>,
    pub cpu_limit: Duration,
    pub children: Vec<PreparedJob>,
    pub parent: ChildOf,
    pub published: Vec<Publication>,
    pub log: GuestLog,
    /// Why a host call ended the attempt.
    pub stop: Option<Stop>,
}

/// An error that no guest can catch.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    /// Reason in `State::stop`.
    #[error("the attempt was ended inside a host call")]
    Stopped,
    #[error("the CPU budget is used up")]
    Cpu,
}

/// Bytes of log lines an attempt may write.
const MAX_BYTES: usize = 64 << 10;
const MAX_LINES: usize = 256;
/// Longest line that is kept, in characters.
const MAX_LINE: usize = 4 << 10;

/// A guest's log: bounded, and remembered in part for the error of an attempt that traps.
#[derive(Debug, Default)]
pub(super) struct GuestLog {
    bytes: usize,
    lines: usize,
    complaints: VecDeque<String>,
    /// All of them, where somebody wants to read them afterwards.
    kept: Option<Vec<LogLine>>,
}

/// A line that a guest wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    pub text: String,
}

impl GuestLog {
    pub fn keeping(keep: bool) -> Self {
        Self { kept: keep.then(Vec::new), ..Self::default() }
    }

    pub fn keep(&mut self, level: &'static str, line: &str) {
        if let Some(kept) = &mut self.kept {
            kept.push(LogLine { level, text: line.to_owned() });
        }
    }

    pub fn into_kept(self) -> Vec<LogLine> {
        self.kept.unwrap_or_default()
    }

    /// The line as it may be logged; `None`: over the limit. The first line over it says so.
    pub fn admit(&mut self, message: &str) -> Option<String> {
        if self.lines > MAX_LINES {
            return None;
        }
        self.lines += 1;
        self.bytes += message.len();
        if self.lines > MAX_LINES || self.bytes > MAX_BYTES {
            self.lines = MAX_LINES + 1;
            return Some("truncated: this attempt may log no more".to_owned());
        }
        // One line stays one line, and no terminal is steered.
        Some(message.chars().take(MAX_LINE).map(|c| if c.is_control() { ' ' } else { c }).collect())
    }

    /// A warning or error: likely the reason of a trap that follows.
    pub fn remember(&mut self, line: &str) {
        if self.complaints.len() == 3 {
            self.complaints.pop_front();
        }
        self.complaints.push_back(line.to_owned());
    }

    pub fn last_words(&self) -> Option<&str> {
        self.complaints.back().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_ends_with_one_line_that_says_so() {
        let mut log = GuestLog::default();
        let admitted: Vec<_> = (0..100_000).filter_map(|n| log.admit(&format!("line {n}"))).collect();
        assert_eq!(admitted.len(), MAX_LINES + 1);
        assert!(admitted[MAX_LINES].starts_with("truncated"));
        let mut log = GuestLog::default();
        assert!(log.admit(&"x".repeat(1 << 20)).expect("a line").starts_with("truncated"));
        assert_eq!(log.admit("more"), None);
    }

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(GuestLog::default().admit("a\nb\u{1b}[31m").as_deref(), Some("a b [31m"));
    }
}
