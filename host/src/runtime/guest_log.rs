use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Level;

use crate::{ids::JobId, outbox::Live};

/// Bytes of log lines an attempt may write.
const MAX_BYTES: usize = 64 << 10;
const MAX_LINES: usize = 256;
/// Longest line that is kept, in characters.
pub(super) const MAX_LINE: usize = 4 << 10;

/// What one attempt's guest says, by the contract's `log` or by WASI's stdout and stderr: bounded, all of it together, and
/// remembered in part for the error of an attempt that traps.
#[derive(Clone)]
pub(super) struct GuestLog(Arc<Inner>);

struct Inner {
    job: JobId,
    job_type: String,
    /// Who follows the job, and whose it is.
    told: Option<(Live, String)>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Of all that it said.
    said: u64,
    bytes: usize,
    lines: usize,
    complaint: Option<(Level, String)>,
    /// An interpreter panicked after it: what comes now is about the interpreter.
    gone: bool,
    /// All lines, where somebody wants to read them afterwards.
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
    #[cfg(test)]
    pub fn new(job: JobId, job_type: &str) -> Self {
        Self::with(job, job_type, None, Book::default())
    }

    /// Those who follow the job hear its lines, too, whenever they come.
    pub fn telling(job: JobId, job_type: &str, tenant: &str, live: &Live) -> Self {
        Self::with(job, job_type, Some((live.clone(), tenant.to_owned())), Book::default())
    }

    /// The same, and its lines are there afterwards.
    pub fn keeping(job: JobId, job_type: &str) -> Self {
        Self::with(job, job_type, None, Book { kept: Some(Vec::new()), ..Book::default() })
    }

    fn with(job: JobId, job_type: &str, told: Option<(Live, String)>, book: Book) -> Self {
        Self(Arc::new(Inner { job, job_type: job_type.to_owned(), told, book: Mutex::new(book) }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, level: Level, text: &str) {
        let Some(line) = self.book().admit(text) else { return };
        // A rehearsal's lines are for whoever asked for it: in the log they would look like the job's own.
        let kept = self.book().keep(level, &line);
        let (job, job_type) = (self.0.job, &self.0.job_type);
        if let Some((live, tenant)) = &self.0.told {
            live.log(job, tenant, job_type, name(level), &line);
        }
        match level {
            _ if kept => {}
            Level::TRACE | Level::DEBUG => {
                tracing::debug!(job.id = %job, job.kind = job_type, guest.line = line, "guest log");
            }
            Level::INFO => tracing::info!(job.id = %job, job.kind = job_type, guest.line = line, "guest log"),
            Level::WARN => tracing::warn!(job.id = %job, job.kind = job_type, guest.line = line, "guest log"),
            Level::ERROR => tracing::error!(job.id = %job, job.kind = job_type, guest.line = line, "guest log"),
        }
        if level <= Level::WARN {
            self.book().remember(level, line);
        }
    }

    pub fn progress(&self, percent: u8, note: &str) {
        let mut book = self.book();
        let is_kept = book.kept.is_some();
        if let Some(line) = book.admit(note)
            && !is_kept
        {
            drop(book);
            let (job, job_type) = (self.0.job, &self.0.job_type);
            let percent = percent.min(100);
            if let Some((live, tenant)) = &self.0.told {
                live.progress(job, tenant, job_type, percent, &line);
            }
            tracing::debug!(job.id = %job, job.kind = job_type, progress.percent = percent, guest.line = line, "guest progress");
        }
    }

    /// Of all that it said, also of what was cut off.
    pub fn bytes(&self) -> u64 {
        self.book().said
    }

    /// What was kept; nothing is left of it.
    pub fn take_kept(&self) -> Vec<LogLine> {
        self.book().kept.take().unwrap_or_default()
    }

    /// The last error, or else the last warning: likely the reason of the trap that followed.
    pub fn last_words(&self) -> Option<String> {
        self.book().complaint.as_ref().map(|(_, line)| line.clone())
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::TRACE | Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    }
}

impl Book {
    /// The line as it may be logged; `None`: over the limit. The first line over it says so.
    fn admit(&mut self, message: &str) -> Option<String> {
        self.said += message.len() as u64;
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

    /// Whether somebody reads it afterwards.
    fn keep(&mut self, level: Level, line: &str) -> bool {
        let Some(kept) = &mut self.kept else { return false };
        kept.push(LogLine { level: name(level), text: line.to_owned() });
        true
    }

    /// A toolchain's chatter on stderr (a warning) does not replace an error that was told on purpose; nor does the panic of an
    /// interpreter replace what its language had to say just before.
    fn remember(&mut self, level: Level, line: String) {
        if level == Level::WARN {
            self.gone |= self.complaint.is_some() && line.starts_with("thread '") && line.contains(" panicked at ");
            if self.gone || line.starts_with("note: run with `RUST_BACKTRACE") {
                return;
            }
        }
        if self.complaint.as_ref().is_none_or(|(held, _)| level <= *held) {
            self.complaint = Some((level, line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_ends_with_one_line_that_says_so() {
        let mut log = Book::default();
        let admitted: Vec<_> = (0..100_000).filter_map(|n| log.admit(&format!("line {n}"))).collect();
        assert_eq!(admitted.len(), MAX_LINES + 1);
        assert!(admitted[MAX_LINES].starts_with("truncated"));
        let mut log = Book::default();
        assert!(log.admit(&"x".repeat(1 << 20)).expect("a line").starts_with("truncated"));
        assert_eq!(log.admit("more"), None);
    }

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(Book::default().admit("a\nb\u{1b}[31m").as_deref(), Some("a b [31m"));
    }

    #[test]
    fn only_complaints_are_last_words() {
        let log = GuestLog::new(JobId::new(), "a");
        log.write(Level::WARN, "odd");
        log.write(Level::ERROR, "broken");
        log.write(Level::INFO, "fine");
        log.write(Level::WARN, "note: no backtrace");
        assert_eq!(log.last_words().as_deref(), Some("broken"));
        assert!(log.take_kept().is_empty(), "nobody asked for them");
    }

    #[test]
    fn what_a_language_says_counts_more_than_its_interpreters_panic() {
        let log = GuestLog::new(JobId::new(), "a");
        let panic = ["thread '<unnamed>' (1) panicked at src/lib.rs:1:1:", "oh", "note: run with `RUST_BACKTRACE=1`"];
        panic.iter().for_each(|line| log.write(Level::WARN, line));
        assert_eq!(log.last_words().as_deref(), Some("oh"), "all that there is");
        let log = GuestLog::new(JobId::new(), "a");
        log.write(Level::WARN, "ValueError: no");
        panic.iter().for_each(|line| log.write(Level::WARN, line));
        assert_eq!(log.last_words().as_deref(), Some("ValueError: no"));
    }

    #[test]
    fn kept_lines_are_those_of_every_way_to_write_one() {
        let log = GuestLog::keeping(JobId::new(), "a");
        log.clone().write(Level::WARN, "odd");
        log.write(Level::INFO, "fine\nso far");
        let kept: Vec<_> = log.take_kept().into_iter().map(|line| (line.level, line.text)).collect();
        assert_eq!(kept, [("warn", "odd".to_owned()), ("info", "fine so far".to_owned())]);
    }
}
