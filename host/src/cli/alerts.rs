//! Alerts of a running host, over HTTP in the name of a token.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Failure,
    client::{text, with_json},
    releases::Door,
    runtime,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List them, newest first: those that are not resolved, unless a state is named.
    List(List),
    /// Say that you look after one: nobody is reminded of it any more.
    Ack(One),
    /// Say that one is over. It comes again with its next cause.
    Resolve(One),
    /// Let nobody be told of one for a while.
    Silence {
        #[command(flatten)]
        one: One,
        /// For how long, such as 2h, at most 30days; 0s ends a silence.
        #[arg(long = "for", value_name = "TIME")]
        time: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[arg(long, value_enum, default_value = "open")]
    state: State,
    #[arg(long, value_enum)]
    severity: Option<Severity>,
    #[arg(long)]
    rule: Option<String>,
    #[arg(long)]
    kind: Option<String>,
    /// How many, at most.
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u8).range(1..=200))]
    limit: u8,
    #[command(flatten)]
    door: Door,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The alert's id.
    id: uuid::Uuid,
    #[command(flatten)]
    door: Door,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Open,
    Firing,
    Acknowledged,
    Resolved,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Severity {
    Info,
    Warning,
    Critical,
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        match self {
            Self::List(list) => list.run(),
            Self::Ack(one) => one.change("ack", None),
            Self::Resolve(one) => one.change("resolve", None),
            Self::Silence { one, time } => one.change("silence", Some(json!({ "for": time }))),
        }
    }
}

/// As the API names it.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let host = self.door.open()?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("state", &word(self.state)).append_pair("limit", &self.limit.to_string());
        for (name, value) in [("severity", self.severity.map(word)), ("rule", self.rule), ("kind", self.kind)] {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
        let path = format!("/alerts?{}", query.finish());
        let found = runtime()?.block_on(async { host.send(host.request(Method::GET, &path)?).await })?;
        if self.door.json {
            println!("{found}");
        } else {
            print!("{}", table(&found));
        }
        Ok(())
    }
}

impl One {
    fn change(&self, verb: &str, body: Option<Value>) -> Result<(), Failure> {
        let host = self.door.open()?;
        let done = runtime()?.block_on(async {
            let request = host.request(Method::POST, &format!("/alerts/{}/{verb}", self.id))?;
            host.send(match &body {
                Some(body) => with_json(request, body),
                None => request,
            })
            .await
        })?;
        if self.door.json {
            println!("{done}");
        } else {
            let silence = done["silencedUntil"].as_str().map(|until| format!(", silent until {}", short(until)));
            println!(
                "{} {} is {}{}",
                text(&done["kind"]),
                text(&done["subject"]),
                text(&done["state"]),
                silence.unwrap_or_default()
            );
        }
        Ok(())
    }
}

/// To the second.
fn short(at: &str) -> String {
    at.get(..19).unwrap_or(at).replace('T', " ")
}

fn table(found: &Value) -> String {
    let header = ["ID", "SEVERITY", "STATE", "SINCE", "KIND", "SUBJECT", "MESSAGE"].map(str::to_owned);
    let rows = found["items"].as_array().into_iter().flatten().map(|alert| {
        let silent = if alert["silencedUntil"].is_null() { "" } else { ", silenced" };
        [
            text(&alert["id"]).to_owned(),
            text(&alert["severity"]).to_owned(),
            format!("{}{silent}", text(&alert["state"])),
            short(text(&alert["firstAt"])),
            text(&alert["kind"]).to_owned(),
            text(&alert["subject"]).to_owned(),
            text(&alert["message"]).to_owned(),
        ]
        // What others have named must not steer a terminal.
        .map(|cell| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>())
    });
    let all: Vec<_> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..7).map(width).collect();
    let mut out = String::new();
    for row in &all {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_a_table() {
        let found = json!({ "items": [{
            "id": "0190", "severity": "warning", "state": "firing", "firstAt": "2026-01-02T03:04:05.678Z", "kind": "queue-depth",
            "subject": "deep/queue/money", "message": "9 jobs\u{1b}[2J", "silencedUntil": "2026-01-02T05:04:05Z",
        }]});
        let shown = table(&found);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines[0],
            "ID    SEVERITY  STATE             SINCE                KIND         SUBJECT           MESSAGE"
        );
        assert_eq!(
            lines[1],
            "0190  warning   firing, silenced  2026-01-02 03:04:05  queue-depth  deep/queue/money  9 jobs [2J"
        );
    }
}
