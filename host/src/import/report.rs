use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use uuid::Uuid;

use super::{
    job::Unmapped,
    source::{Count, Signs, Source},
};

/// What an import found, and did.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// False: nothing was written.
    pub applied: bool,
    /// Of pg-boss, by what its tables look like, and the number of these tables.
    pub pg_boss: u8,
    pub schema_version: i32,
    /// What lies there, by queue and state.
    pub(super) found: Vec<Count>,
    pub jobs: Jobs,
    pub keys: Keys,
    /// Jobs that can't be taken in, by reason.
    pub(super) unmapped: Vec<Group>,
    pub warnings: Vec<String>,
    /// Why an import refuses to begin.
    pub refused: Vec<String>,
}

/// Of the waiting and active ones, what becomes of them, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Jobs {
    pub moved: u64,
    /// They were active: a person decides.
    pub parked: u64,
    /// A job that is here, or a key that was imported, stands for them.
    pub deduplicated: u64,
    /// They came with an earlier import.
    pub already: u64,
    /// Somebody took them at the source just before we could.
    pub taken: u64,
    pub unmapped: u64,
    /// Cancelled at the source, now that they are here.
    pub cancelled: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    pub imported: u64,
    pub already: u64,
    /// They hold no longer and stay behind.
    pub expired: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    pub reason: &'static str,
    pub queue: String,
    #[serde(rename = "type")]
    pub job_type: String,
    pub detail: String,
    pub jobs: u64,
    /// One of them, by its id at the source.
    pub example: Uuid,
}

/// Counts what can't be taken in.
#[derive(Default)]
pub(super) struct Groups(BTreeMap<Unmapped, (u64, Uuid)>);

impl Groups {
    pub fn add(&mut self, unmapped: Unmapped, id: Uuid) {
        self.0.entry(unmapped).or_insert((0, id)).0 += 1;
    }

    pub fn list(self) -> Vec<Group> {
        let group = |(unmapped, (jobs, example)): (Unmapped, (u64, Uuid))| Group {
            reason: unmapped.reason,
            queue: unmapped.queue,
            job_type: unmapped.job_type,
            detail: unmapped.detail,
            jobs,
            example,
        };
        self.0.into_iter().map(group).collect()
    }
}

/// pg-boss keeps house every two minutes, unless its user says otherwise.
const LATELY: f64 = 180.0;

impl Report {
    pub(super) fn new(source: &Source, found: Vec<Count>, signs: Signs) -> Self {
        let mut warnings = Vec::new();
        if signs.connections > 0 {
            warnings.push(format!(
                "{} connections of pg-boss are open: stop its workers, or a job runs there and here",
                signs.connections
            ));
        }
        if let Some(seconds) = signs.maintained.filter(|seconds| *seconds < LATELY) {
            warnings.push(format!(
                "pg-boss kept house {seconds:.0} s ago: if a worker of it still runs, a job runs there and here"
            ));
        }
        if signs.schedules > 0 {
            warnings.push(format!("{} schedules of pg-boss stay behind: they are not jobs", signs.schedules));
        }
        let mut report =
            Self { pg_boss: source.layout.major(), schema_version: source.version, found, warnings, ..Self::default() };
        let retrying = report.count("retry");
        if retrying > 0 {
            report.warnings.push(format!(
                "{retrying} jobs wait for a retry: they began before, and nothing here knows what their first attempts did"
            ));
        }
        report
    }

    pub(super) fn count(&self, state: &str) -> i64 {
        self.found.iter().filter(|count| count.state == state).map(|count| count.jobs).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pg-boss {} (tables of version {})", self.pg_boss, self.schema_version)?;
        for Count { queue, state, jobs } in &self.found {
            let fate = match state.as_str() {
                "created" | "retry" => "",
                "active" => "  (under way)",
                _ => "  (stays there)",
            };
            writeln!(f, "  {jobs:>8}  {state:<10} {}{fate}", plain(queue))?;
        }
        for Group { reason, queue, job_type, detail, jobs, example } in &self.unmapped {
            let what =
                if job_type.is_empty() { plain(queue) } else { format!("{}, {}", plain(queue), plain(job_type)) };
            writeln!(f, "not taken in: {jobs} of {what}: {reason}: {} (e.g. {example})", plain(detail))?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for refused in &self.refused {
            writeln!(f, "refused: {refused}")?;
        }
        let Self { jobs, keys, .. } = self;
        write!(
            f,
            "{}: moved={} parked={} deduplicated={} already={} taken={} unmapped={} cancelled={} keys={} keys-already={} \
             keys-expired={}",
            if self.applied { "import" } else { "dry run" },
            jobs.moved,
            jobs.parked,
            jobs.deduplicated,
            jobs.already,
            jobs.taken,
            jobs.unmapped,
            jobs.cancelled,
            keys.imported,
            keys.already,
            keys.expired,
        )
    }
}

/// The old database's names on somebody's terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
