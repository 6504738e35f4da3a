//! What people did, on a running host.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde_json::Value;

use super::{
    Failure,
    output::{Column, Fit, Line, Tone, shown, time},
    view::{Amount, Listing, View},
};

#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Of this target only, such as plugin/payments
    #[arg(long)]
    target: Option<String>,
    /// What this one did
    #[arg(long)]
    subject: Option<String>,
    /// Only this, such as plugin.publish
    #[arg(long)]
    action: Option<String>,
    #[arg(long)]
    tenant: Option<String>,
    /// From then on: a time such as 2030-01-31T12:00:00Z, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<DateTime<Utc>>,
    /// Before then
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    view: View,
}

const COLUMNS: [Column; 7] = [
    ("ID", Fit::Whole),
    ("AT", Fit::Whole),
    ("WHO", Fit::Cut),
    ("ACTION", Fit::Whole),
    ("TARGET", Fit::Cut),
    ("TENANT", Fit::Spare),
    ("DETAIL", Fit::Spare),
];

impl Audit {
    pub fn run(self) -> Result<(), Failure> {
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let listing = Listing {
            path: "/audit",
            query: vec![
                ("target", self.target),
                ("subject", self.subject),
                ("action", self.action),
                ("tenant", self.tenant),
                ("since", self.since.map(time)),
                ("until", self.until.map(time)),
            ],
            member: "items",
            is_sized: false,
            columns: &COLUMNS,
            line,
        };
        self.view.list(&listing, &self.amount)
    }
}

fn line(entry: &Value, _: DateTime<Utc>) -> Line {
    let cells = vec![
        shown(&entry["id"]),
        time(&entry["at"]),
        shown(&entry["subject"]),
        shown(&entry["action"]),
        shown(&entry["target"]),
        shown(&entry["tenant"]),
        shown(&entry["detail"]),
    ];
    Line { cells, tone: Tone::Plain }
}

/// A time, or how long ago.
fn when(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    let ago = humantime_serde::re::humantime::parse_duration(text).ok();
    let at = ago.and_then(|ago| Utc::now().checked_sub_signed(chrono::TimeDelta::from_std(ago).ok()?));
    at.ok_or_else(|| "a time is such as 2030-01-31T12:00:00Z, or 2h for two hours ago".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_said_as_how_long_ago() {
        let at = when("2030-01-31T13:00:00+01:00").expect("a time");
        assert_eq!(at.to_rfc3339(), "2030-01-31T12:00:00+00:00");
        let ago = Utc::now() - when("2h").expect("two hours ago");
        assert!((7_199..7_260).contains(&ago.num_seconds()), "{ago}");
        for bad in ["", "yesterday", "2030-01-31", "-2h", "99999999999y"] {
            assert!(when(bad).is_err(), "{bad}");
        }
    }
}
