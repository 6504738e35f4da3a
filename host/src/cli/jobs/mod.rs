//! Jobs of a running host, and finished ones of a database.

mod replay;
mod submit;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        Failure,
        client::{text, with_json},
        output::{self, Column, Fit, Line, Paper, Tone, age, fields, shown},
        releases::Door,
        runtime,
        view::{Amount, Listing, View},
    },
    ids::{Digest, JobId},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Jobs, newest first: those of the token's tenant, all for an admin's.
    List(List),
    /// All that is known of a job.
    Show {
        id: JobId,
        #[command(flatten)]
        view: View,
    },
    Submit(submit::Submit),
    /// Let a dead job begin again, under its id.
    Retry {
        id: JobId,
        /// On this release: its digest, sha256:…
        #[arg(long)]
        release: Option<Digest>,
        #[command(flatten)]
        door: Door,
    },
    /// Cancel a job: at once, or, if it is under way, as soon as what it does is written down.
    Cancel {
        id: JobId,
        #[command(flatten)]
        door: Door,
    },
    Replay(replay::Replay),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[arg(long, value_enum)]
    state: Option<State>,
    #[arg(long = "type", value_name = "TYPE")]
    job_type: Option<String>,
    #[arg(long)]
    queue: Option<String>,
    /// Another one than the token's, for an admin
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    view: View,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Scheduled,
    Blocked,
    Ready,
    Running,
    Completed,
    Cancelled,
    Dead,
}

const COLUMNS: [Column; 8] = [
    ("ID", Fit::Whole),
    ("STATE", Fit::Whole),
    ("TRY", Fit::Whole),
    ("AGE", Fit::Whole),
    ("TYPE", Fit::Cut),
    ("QUEUE", Fit::Spare),
    ("TENANT", Fit::Spare),
    ("WHY", Fit::Spare),
];

/// Members of a job, in the order in which people ask for them.
const FIRST: [&str; 22] = [
    "id",
    "type",
    "state",
    "reason",
    "attempt",
    "maxAttempts",
    "tenant",
    "queue",
    "tier",
    "priority",
    "idempotencyKey",
    "parent",
    "submittedBy",
    "createdAt",
    "runAt",
    "expiresAt",
    "finishedAt",
    "cpuMs",
    "release",
    "metadata",
    "payload",
    "result",
];

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Show { id, view } => view.one(&format!("/jobs/{id}"), document),
            Self::Submit(submit) => submit.run(),
            Self::Retry { id, release, door } => {
                let body = release.map(|release| json!({ "release": release }));
                change(&door, Method::POST, &format!("/jobs/{id}/retry"), body, |_| format!("job {id} begins again"))
            }
            Self::Cancel { id, door } => change(&door, Method::DELETE, &format!("/jobs/{id}"), None, |done| {
                if done["cancelRequested"] == true {
                    format!("job {id} is under way, and ends as soon as what it does is written down")
                } else {
                    format!("job {id} is cancelled")
                }
            }),
            Self::Replay(replay) => replay.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let word = |state: State| state.to_possible_value().map(|value| value.get_name().to_owned());
        let listing = Listing {
            path: "/jobs",
            query: vec![
                ("state", self.state.and_then(word)),
                ("type", self.job_type),
                ("queue", self.queue),
                ("tenant", self.tenant),
            ],
            member: "items",
            is_sized: true,
            columns: &COLUMNS,
            line,
        };
        self.view.list(&listing, &self.amount)
    }
}

fn line(job: &Value, now: DateTime<Utc>) -> Line {
    let state = text(&job["state"]);
    let last = job["errors"].as_array().and_then(|errors| errors.last());
    // Of a job that did well in the end, nobody asks why.
    let why = match (state, last) {
        ("completed", _) => String::new(),
        (_, Some(last)) => format!("{} {}: {}", text(&job["reason"]), text(&last["kind"]), text(&last["message"])),
        (_, None) => text(&job["reason"]).to_owned(),
    };
    let cells = vec![
        shown(&job["id"]),
        state.to_owned(),
        format!("{}/{}", job["attempt"], job["maxAttempts"]),
        age(&job["createdAt"], now),
        shown(&job["type"]),
        shown(&job["queue"]),
        shown(&job["tenant"]),
        why.trim().to_owned(),
    ];
    let tone = match state {
        "completed" => Tone::Good,
        "running" => Tone::Busy,
        "dead" => Tone::Bad,
        "cancelled" | "blocked" | "scheduled" => Tone::Faint,
        _ => Tone::Plain,
    };
    Line { cells, tone }
}

fn document(job: &Value, paper: Paper) -> String {
    let mut job = job.clone();
    let said =
        |error: &Value| format!("attempt {}, {}: {}", error["attempt"], text(&error["kind"]), text(&error["message"]));
    let errors: Vec<_> = job["errors"].as_array().into_iter().flatten().map(said).collect();
    job["errors"] = if errors.is_empty() { Value::Null } else { errors.join("\n").into() };
    fields(&job, &FIRST, paper)
}

fn change(
    door: &Door,
    method: Method,
    path: &str,
    body: Option<Value>,
    said: impl FnOnce(&Value) -> String,
) -> Result<(), Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = door.open()?;
    let mut request = host.request(method, path)?;
    if let Some(body) = body {
        request = with_json(request, &body);
    }
    let done = runtime()?.block_on(host.fetch(request))?;
    if door.json {
        output::json(done.get());
    } else {
        let done = serde_json::from_str(done.get()).map_err(anyhow::Error::new)?;
        println!("{}", said(&done));
    }
    Ok(())
}
