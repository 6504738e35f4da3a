//! Effects: those of a running host's jobs, and the ledger of a database.

mod reconcile;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    cli::{
        Failure,
        client::{text, with_text},
        output::{self, Column, Fit, Line, Tone, age, shown},
        read_json,
        releases::Door,
        runtime,
        view::{Amount, Listing, View},
    },
    ids::JobId,
};

/// Without a command: list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Effects {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Those of live jobs, newest first, and of the job that is named also after its end.
    List(List),
    /// Say what became of an effect in doubt.
    Resolve(Resolve),
    Reconcile(reconcile::Reconcile),
}

#[derive(Debug, Args)]
struct List {
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Such as stripe or email
    #[arg(long)]
    provider: Option<String>,
    /// A job's id
    #[arg(long)]
    job: Option<JobId>,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    view: View,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Started,
    Deferred,
    Doubt,
    Ended,
}

#[derive(Debug, Args)]
struct Resolve {
    /// The job's id
    job: JobId,
    /// Which of its effects: SEQ in the list
    seq: u32,
    #[arg(long, value_enum)]
    outcome: Outcome,
    /// Where it happened: what the provider shows of it, as JSON; or a file with it; - is standard input
    #[arg(long, value_name = "JSON|FILE|-", required_if_eq("outcome", "happened"))]
    answer: Option<String>,
    /// How that is known, for the audit log
    #[arg(long, value_name = "TEXT")]
    evidence: String,
    #[command(flatten)]
    door: Door,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// It was done.
    Happened,
    /// It was not, and shall not be.
    Void,
    /// It was not, and is done again.
    Resend,
}

#[derive(Serialize)]
struct Resolution<'a> {
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a RawValue>,
    evidence: &'a str,
}

const COLUMNS: [Column; 9] = [
    ("JOB", Fit::Whole),
    ("SEQ", Fit::Whole),
    ("STATE", Fit::Whole),
    ("CALL", Fit::Cut),
    ("TRIES", Fit::Whole),
    ("AGE", Fit::Whole),
    ("TYPE", Fit::Spare),
    ("TENANT", Fit::Spare),
    ("SAID", Fit::Spare),
];

impl Effects {
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            None => self.list.run(),
            Some(Command::List(list)) => list.run(),
            Some(Command::Resolve(resolve)) => resolve.run(),
            Some(Command::Reconcile(reconcile)) => reconcile.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let word = |state: State| state.to_possible_value().map(|value| value.get_name().to_owned());
        let listing = Listing {
            path: "/effects",
            query: vec![
                ("state", self.state.and_then(word)),
                ("provider", self.provider),
                ("job", self.job.map(|job| job.to_string())),
            ],
            member: "items",
            is_sized: false,
            columns: &COLUMNS,
            line,
        };
        self.view.list(&listing, &self.amount)
    }
}

fn line(effect: &Value, now: DateTime<Utc>) -> Line {
    let state = text(&effect["state"]);
    let said = format!("{} {}", text(&effect["answer"]), text(&effect["note"]));
    let cells = vec![
        shown(&effect["job"]),
        shown(&effect["seq"]),
        state.to_owned(),
        format!("{}.{}", text(&effect["provider"]), text(&effect["function"])),
        shown(&effect["tries"]),
        age(&effect["startedAt"], now),
        shown(&effect["type"]),
        shown(&effect["tenant"]),
        said.trim().to_owned(),
    ];
    let tone = match state {
        "doubt" => Tone::Bad,
        "started" => Tone::Busy,
        "deferred" => Tone::Faint,
        _ => Tone::Plain,
    };
    Line { cells, tone }
}

impl Resolve {
    fn run(self) -> Result<(), Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answer = self.answer.as_deref().map(|said| read_json("--answer", said)).transpose()?;
        let body = Resolution { outcome: self.outcome, answer: answer.as_deref(), evidence: &self.evidence };
        let host = self.door.open()?;
        let path = format!("/effects/{}/{}/resolve", self.job, self.seq);
        let body = serde_json::to_string(&body).map_err(anyhow::Error::new)?;
        let request = with_text(host.request(Method::POST, &path)?, body);
        let done = runtime()?.block_on(host.fetch(request))?;
        if self.door.json {
            output::json(done.get());
        } else {
            let done: Value = serde_json::from_str(done.get()).map_err(anyhow::Error::new)?;
            println!("effect {} of job {} is resolved; the job is {}", self.seq, self.job, text(&done["state"]));
        }
        Ok(())
    }
}
