//! Plugins of a running host, as anybody who is let in may look at them.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Failure,
    client::text,
    output::{Column, Fit, Line, Tone, age, fields, shown},
    releases::segment,
    view::{Amount, Listing, View},
};

/// Without a command: list.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Plugins {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What serves, and on how many nodes it is ready.
    List(List),
    /// One of them; for an admin's token with its nodes.
    Show {
        name: String,
        #[command(flatten)]
        view: View,
    },
    /// Components that were refused, and why.
    Refusals(List),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    view: View,
}

const COLUMNS: [Column; 8] = [
    ("NAME", Fit::Whole),
    ("VERSION", Fit::Cut),
    ("STATE", Fit::Whole),
    ("READY", Fit::Whole),
    ("NEXT", Fit::Spare),
    ("GEN", Fit::Spare),
    ("SINCE", Fit::Spare),
    ("TYPES", Fit::Cut),
];

const REFUSALS: [Column; 5] =
    [("AGE", Fit::Whole), ("PLUGIN", Fit::Cut), ("REASON", Fit::Whole), ("SOURCE", Fit::Spare), ("DETAIL", Fit::Cut)];

impl Plugins {
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            None => self.list.run("plugins", &COLUMNS, line),
            Some(Command::List(list)) => list.run("plugins", &COLUMNS, line),
            Some(Command::Refusals(list)) => list.run("refusals", &REFUSALS, refusal),
            Some(Command::Show { name, view }) => {
                view.one(&format!("/plugins/{}", segment(&name)?), |plugin, paper| {
                    let first =
                        ["name", "version", "digest", "generation", "state", "activatedAt", "jobTypes", "ready"];
                    fields(plugin, &first, paper)
                })
            }
        }
    }
}

impl List {
    fn run(
        self,
        member: &'static str,
        columns: &'static [Column],
        line: fn(&Value, DateTime<Utc>) -> Line,
    ) -> Result<(), Failure> {
        let listing = Listing { path: "/plugins", query: Vec::new(), member, is_sized: false, columns, line };
        self.view.list(&listing, &self.amount)
    }
}

fn line(plugin: &Value, now: DateTime<Utc>) -> Line {
    let (ready, of) = (&plugin["ready"]["nodes"], &plugin["ready"]["of"]);
    let types: Vec<_> = plugin["jobTypes"].as_array().into_iter().flatten().map(text).collect();
    let cells = vec![
        shown(&plugin["name"]),
        shown(&plugin["version"]),
        shown(&plugin["state"]),
        format!("{ready}/{of}"),
        shown(&plugin["next"]["version"]),
        shown(&plugin["generation"]),
        age(&plugin["activatedAt"], now),
        types.join(","),
    ];
    let is_well = plugin["state"] == "active" && ready == of;
    Line { cells, tone: if is_well { Tone::Plain } else { Tone::Bad } }
}

fn refusal(refusal: &Value, now: DateTime<Utc>) -> Line {
    let cells = vec![
        age(&refusal["refusedAt"], now),
        shown(&refusal["plugin"]),
        shown(&refusal["reason"]),
        shown(&refusal["source"]),
        shown(&refusal["detail"]),
    ];
    Line { cells, tone: Tone::Plain }
}
