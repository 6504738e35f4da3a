//! Queues of a running host.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::{
    Failure,
    output::{self, Column, Fit, Line, Tone, fields, shown},
    releases::Door,
    runtime,
    view::{Amount, Listing, View},
};

/// Without a command: list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Queues {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All of them; for an admin's token with how many jobs wait in each, and what ended today.
    List(List),
    /// One of them.
    Show {
        name: String,
        #[command(flatten)]
        view: View,
    },
    /// No job of it is begun any more, on no node.
    Pause(Change),
    /// Its jobs go on.
    Resume(Change),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    view: View,
}

#[derive(Debug, Args)]
struct Change {
    name: String,
    #[command(flatten)]
    door: Door,
}

const COLUMNS: [Column; 11] = [
    ("NAME", Fit::Cut),
    ("TIER", Fit::Whole),
    ("STATE", Fit::Whole),
    ("READY", Fit::Whole),
    ("RUNNING", Fit::Whole),
    ("SCHEDULED", Fit::Spare),
    ("BLOCKED", Fit::Spare),
    ("PARKED", Fit::Spare),
    ("COMPLETED", Fit::Spare),
    ("DEAD", Fit::Spare),
    ("CANCELLED", Fit::Spare),
];

impl Queues {
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            None => self.list.run(),
            Some(Command::List(list)) => list.run(),
            Some(Command::Show { name, view }) => {
                view.one(&path(&name)?, |queue, paper| fields(queue, &["name", "tier", "paused"], paper))
            }
            Some(Command::Pause(change)) => change.run("pause", "is paused"),
            Some(Command::Resume(change)) => change.run("resume", "goes on"),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let listing =
            Listing { path: "/queues", query: Vec::new(), member: "queues", is_sized: false, columns: &COLUMNS, line };
        self.view.list(&listing, &self.amount)
    }
}

impl Change {
    fn run(self, verb: &str, said: &str) -> Result<(), Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = format!("{}/{verb}", path(&self.name)?);
        let host = self.door.open()?;
        let done = runtime()?.block_on(async { host.fetch(host.request(Method::POST, &path)?).await })?;
        if self.door.json {
            output::json(done.get());
        } else {
            println!("{} {said}", self.name);
        }
        Ok(())
    }
}

/// Names of queues are words: others would lead elsewhere.
fn path(name: &str) -> Result<String, Failure> {
    let is_one = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if is_one { Ok(format!("/queues/{name}")) } else { Err(Failure::Usage(format!("\"{name}\" is no queue's name"))) }
}

fn line(queue: &Value, _: DateTime<Utc>) -> Line {
    let counts = queue["counts"].is_object();
    // Zeroes are not written down for what ended; without counts nothing is known.
    let count = |of: &str, state: &str| match (&queue[of][state], counts) {
        (Value::Null, true) => "0".to_owned(),
        (count, _) => shown(count),
    };
    let is_paused = queue["paused"] == true;
    let cells = vec![
        shown(&queue["name"]),
        shown(&queue["tier"]),
        if is_paused { "paused" } else { "open" }.to_owned(),
        count("counts", "ready"),
        count("counts", "running"),
        count("counts", "scheduled"),
        count("counts", "blocked"),
        count("counts", "parked"),
        count("today", "completed"),
        count("today", "dead"),
        count("today", "cancelled"),
    ];
    Line { cells, tone: if is_paused { Tone::Bad } else { Tone::Plain } }
}
