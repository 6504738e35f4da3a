use std::{cmp::Reverse, collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Skipped, Verdict};
use crate::ids::JobId;

/// What recorded jobs came to when they were run again, in groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub same: u64,
    pub different: u64,
    pub failed: u64,
    pub skipped: u64,
    /// Jobs by type, the skipped ones included.
    pub types: BTreeMap<String, u64>,
    /// Jobs that are the same as far as effects and end go. The release that ended them could not be run, so that their enqueued
    /// jobs and published events, which no journal holds, are not compared.
    pub uncompared: u64,
    /// Not all of history was looked at for jobs of these types.
    pub cut_short: bool,
    groups: BTreeMap<(String, Kind), Group>,
}

/// What the jobs of a group have in common, beside their type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Different(Finding),
    /// The kind of the failure, as in a job's errors.
    Failed(String),
    Skipped(Skipped),
    /// There are too many groups.
    Others,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    jobs: u64,
    /// The first few, each with what is known of it.
    examples: Vec<(JobId, String)>,
}

/// What a job did otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Finding {
    /// The same call at the same place, with something else in it. `fields` are names, never values.
    Field {
        of: Of,
        place: usize,
        call: String,
        fields: Vec<String>,
    },
    /// Another call at this place.
    Function {
        of: Of,
        place: usize,
        was: String,
        is: String,
    },
    /// What was done at `place` is done later, and what was done at `with` in its stead.
    Order {
        of: Of,
        place: usize,
        call: String,
        with: usize,
        instead: String,
    },
    Dropped {
        of: Of,
        place: usize,
        call: String,
    },
    Additional {
        of: Of,
        place: usize,
        call: String,
    },
    /// It completed with another result.
    Result {
        fields: Vec<String>,
    },
    /// It ended in another way.
    Outcome {
        was: String,
        is: String,
    },
}

/// Of what kind the things are that places are counted of, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    Effect,
    Job,
    Event,
}

/// Examples of one group.
const EXAMPLES: usize = 3;
/// Groups of one report.
const GROUPS: usize = 60;
/// Longest text of an example, in characters.
const DETAIL: usize = 300;

impl Report {
    /// Skipped ones included.
    pub fn jobs(&self) -> u64 {
        self.same + self.different + self.failed + self.skipped
    }

    /// Nothing is different, and nothing failed.
    pub fn is_clean(&self) -> bool {
        self.different == 0 && self.failed == 0
    }

    /// Jobs were run, and did the same: nobody need ask again. A history without a job that can be compared says nothing.
    pub fn vouches(&self) -> bool {
        self.is_clean() && self.same > 0
    }

    pub(super) fn add(&mut self, job: JobId, job_type: String, verdict: Verdict) {
        *self.types.entry(job_type.clone()).or_default() += 1;
        let (kind, detail) = match verdict {
            Verdict::Same { compared, .. } => {
                self.same += 1;
                self.uncompared += u64::from(!compared);
                return;
            }
            Verdict::Different(difference) => {
                self.different += 1;
                (Kind::Different(difference.finding), difference.shown)
            }
            Verdict::Failed { kind, message } => {
                self.failed += 1;
                (Kind::Failed(kind), message)
            }
            Verdict::Skipped(why) => {
                self.skipped += 1;
                (Kind::Skipped(why), String::new())
            }
        };
        let mut key = (job_type, kind);
        if self.groups.len() >= GROUPS && !self.groups.contains_key(&key) {
            key = (String::new(), Kind::Others);
        }
        let group = self.groups.entry(key).or_default();
        group.jobs += 1;
        if group.examples.len() < EXAMPLES {
            group.examples.push((job, detail.chars().take(DETAIL).collect()));
        }
    }

    /// Counts only.
    pub fn counts(&self) -> Value {
        json!({
            "jobs": self.jobs(), "same": self.same, "different": self.different, "failed": self.failed,
            "skipped": self.skipped,
        })
    }

    /// The counts, and whether the release is taken against them, for the audit log.
    pub fn on_record(&self) -> Value {
        let mut shown = self.counts();
        shown["overridden"] = (!self.is_clean()).into();
        shown
    }

    pub fn to_json(&self) -> Value {
        let mut shown = self.counts();
        shown["types"] = json!(self.types);
        shown["uncompared"] = self.uncompared.into();
        shown["cutShort"] = self.cut_short.into();
        let groups = self.largest().map(|((job_type, kind), group)| {
            let mut shown = match kind {
                Kind::Different(finding) => json!(finding),
                Kind::Failed(kind) => json!({ "kind": kind }),
                Kind::Skipped(why) => json!({ "why": why }),
                Kind::Others => json!({}),
            };
            shown["verdict"] = kind.verdict().into();
            shown["type"] = job_type.as_str().into();
            shown["text"] = kind.to_string().into();
            shown["jobs"] = group.jobs.into();
            let example = |(job, detail): &(JobId, String)| json!({ "job": job, "detail": detail });
            shown["examples"] = group.examples.iter().map(example).collect();
            shown
        });
        shown["groups"] = groups.collect();
        shown
    }

    /// What is different or failed, for a message that anybody may read: no job, no value.
    pub fn summary(&self) -> String {
        let bad = self.largest().filter(|((_, kind), _)| !matches!(kind, Kind::Skipped(_)));
        let said: Vec<_> = bad
            .map(|((job_type, kind), group)| match kind {
                Kind::Others => format!("{} more", group.jobs),
                kind => format!("{job_type}: {kind} ({})", group.jobs),
            })
            .collect();
        let more = said.len().saturating_sub(SUMMARY);
        let shown = said.get(..SUMMARY).unwrap_or(&said).join("; ");
        let more = if more > 0 { format!("; and {more} groups more") } else { String::new() };
        format!("of {} jobs {} differ and {} fail: {shown}{more}", self.jobs(), self.different, self.failed)
    }

    /// The groups, the different ones first, then by size.
    fn largest(&self) -> impl Iterator<Item = (&(String, Kind), &Group)> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|((_, kind), group)| (kind.rank(), Reverse(group.jobs)));
        groups.into_iter()
    }
}

/// Groups that a message names.
const SUMMARY: usize = 5;

impl Kind {
    fn rank(&self) -> u8 {
        match self {
            Self::Different(_) => 0,
            Self::Failed(_) => 1,
            Self::Others => 2,
            Self::Skipped(_) => 3,
        }
    }

    fn verdict(&self) -> &'static str {
        match self {
            Self::Different(_) => "different",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
            Self::Others => "others",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Different(finding) => finding.fmt(f),
            Self::Failed(kind) => write!(f, "it fails: {kind}"),
            Self::Skipped(why) => f.write_str(why.why()),
            Self::Others => f.write_str("in other groups"),
        }
    }
}

impl Of {
    fn word(self) -> &'static str {
        match self {
            Self::Effect => "effect",
            Self::Job => "enqueued job",
            Self::Event => "event",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { of, place, call, fields } => {
                write!(f, "{} {place} ({call}) differs in {}", of.word(), listed(fields))
            }
            Self::Function { of, place, was, is } => write!(f, "{} {place} was {was} and is {is}", of.word()),
            Self::Order { of, place, call, with, instead } => {
                write!(f, "{} {place} ({call}) comes after {with} ({instead}): another order", of.word())
            }
            Self::Dropped { of, place, call } => write!(f, "{} {place} ({call}) is dropped", of.word()),
            Self::Additional { of, place, call } => write!(f, "{} {place} ({call}) is additional", of.word()),
            Self::Result { fields } => write!(f, "the result differs in {}", listed(fields)),
            Self::Outcome { was, is } => write!(f, "it ended as {was} and ends as {is}"),
        }
    }
}

fn listed(fields: &[String]) -> String {
    match fields {
        [] => "something that is not stored in clear".to_owned(),
        [whole] if whole.is_empty() => "the whole of it".to_owned(),
        fields => fields.join(", "),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (job_type, jobs) in &self.types {
            writeln!(f, "{job_type}: {jobs} jobs")?;
        }
        writeln!(f, "same       {:>6}", self.same)?;
        for (word, jobs) in [("different", self.different), ("failed", self.failed), ("skipped", self.skipped)] {
            writeln!(f, "{word:<10} {jobs:>6}")?;
            for ((job_type, kind), group) in self.largest().filter(|((_, kind), _)| kind.verdict() == word) {
                writeln!(f, "    {:>6}  {job_type}: {kind}", group.jobs)?;
                for (job, detail) in &group.examples {
                    writeln!(f, "            e.g. job {job} {detail}")?;
                }
            }
        }
        for (_, group) in self.largest().filter(|((_, kind), _)| *kind == Kind::Others) {
            writeln!(f, "    {:>6}  in groups that are not shown", group.jobs)?;
        }
        if self.uncompared > 0 {
            writeln!(
                f,
                "of {} jobs enqueued jobs and events are not compared: the release that ended them is not there",
                self.uncompared
            )?;
        }
        if self.cut_short {
            writeln!(f, "older jobs of these types were not looked for: too many of other types lie between")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::verify::Difference;

    fn different(fields: &[&str]) -> Verdict {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        let finding = Finding::Field { of: Of::Effect, place: 0, call: "stripe.create-refund".to_owned(), fields };
        Verdict::Different(Difference { finding, shown: "amount: journaled 1, now 2".to_owned(), full: String::new() })
    }

    #[test]
    fn jobs_that_differ_alike_are_one_group_with_a_few_examples() {
        let mut report = Report::default();
        for _ in 0..9 {
            report.add(JobId::new(), "refund".to_owned(), different(&["amount"]));
        }
        report.add(JobId::new(), "refund".to_owned(), different(&["reason"]));
        report.add(JobId::new(), "refund".to_owned(), Verdict::Skipped(Skipped::Pruned));
        assert_eq!((report.jobs(), report.different, report.skipped), (11, 10, 1));
        assert!(!report.is_clean());
        let shown = report.to_json();
        assert_eq!(shown["groups"][0]["text"], "effect 0 (stripe.create-refund) differs in amount");
        assert_eq!((&shown["groups"][0]["jobs"], &shown["groups"][0]["what"]), (&json!(9), &json!("field")));
        assert_eq!(shown["groups"][0]["examples"].as_array().map(Vec::len), Some(EXAMPLES));
        assert_eq!(shown["groups"][2]["verdict"], "skipped");
        let summary = report.summary();
        assert!(summary.contains("refund: effect 0 (stripe.create-refund) differs in amount (9)"), "{summary}");
        assert!(!summary.contains("retention") && !summary.contains("journaled"), "{summary}");
    }

    #[test]
    fn there_are_only_so_many_groups() {
        let mut report = Report::default();
        for n in 0..GROUPS + 5 {
            report.add(JobId::new(), "refund".to_owned(), different(&[&n.to_string()]));
        }
        assert_eq!(report.groups.len(), GROUPS + 1);
        assert_eq!(report.different, GROUPS as u64 + 5);
    }

    #[test]
    fn a_report_that_did_not_look_at_all_of_history_says_so() {
        let mut report = Report::default();
        assert_eq!(report.to_json()["cutShort"], false);
        assert!(!report.to_string().contains("not looked for"));
        report.cut_short = true;
        assert_eq!(report.to_json()["cutShort"], true);
        assert!(report.to_string().contains("older jobs of these types were not looked for"), "{report}");
        assert!(report.is_clean() && !report.vouches(), "nothing was compared");
    }
}
