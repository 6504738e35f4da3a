use std::{fmt::Write, fs, thread};

use crate::json;

/// One figure, beside its peer's where there is one.
pub struct Row {
    pub name: &'static str,
    pub unit: &'static str,
    pub ours: f64,
    /// What the peer is, and its figure.
    pub peer: Option<(&'static str, f64)>,
    /// What a reader of the figure should know.
    pub note: &'static str,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.peer.map(|(_, peer)| self.ours / peer)
    }

    pub fn json(&self) -> String {
        let number = |value: Option<f64>| match value {
            Some(value) if value.is_finite() => format!("{value:.3}"),
            _ => "null".to_owned(),
        };
        format!(
            "{{\"row\": {}, \"ours\": {}, \"peer\": {}, \"ratio\": {}}}",
            json::quote(self.name),
            number(Some(self.ours)),
            number(self.peer.map(|(_, peer)| peer)),
            number(self.ratio())
        )
    }
}

/// What goes on, for people: stdout belongs to the figures.
pub fn say(text: &str) {
    eprintln!("{text}");
}

pub fn table(machine: &str, rows: &[Row]) -> String {
    let mut out = format!("\n{machine}\n\n");
    let mut line = |row: &str, ours: &str, peer: &str, ratio: &str, of: &str| {
        let text = format!("{row:16} {ours:>12} {peer:>12} {ratio:>8}   {of}");
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line("row", "ours", "peer", "ratio", "");
    for row in rows {
        let peer = row.peer.map(|(_, peer)| figure(peer)).unwrap_or_default();
        let ratio = row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let mut of = row.unit.to_owned();
        if let Some((name, _)) = row.peer {
            let _ = write!(of, "; peer: {name}");
        }
        if !row.note.is_empty() {
            let _ = write!(of, "; {}", row.note);
        }
        line(row.name, &figure(row.ours), &peer, &ratio, &of);
    }
    out
}

/// Three digits or more, whatever the size.
pub fn figure(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The smallest value that this share of the values does not exceed.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// What the figures belong to.
pub fn machine(postgres: &str) -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| line.split_once(':').map(|(_, value)| value.trim().to_owned()))
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let memory = field("/proc/meminfo", "MemTotal");
    let memory = match memory.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()) {
        Some(kb) => format!("{:.1} GiB", kb / 1_048_576.0),
        None => memory,
    };
    format!(
        "{} cores, {}, {memory}; PostgreSQL {postgres}; Linux {}",
        thread::available_parallelism().map_or(1, usize::from),
        field("/proc/cpuinfo", "model name"),
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_row_without_a_peer_says_null() {
        let row = Row { name: "memory", unit: "MB", ours: 1.5, peer: None, note: "" };
        assert_eq!(row.json(), r#"{"row": "memory", "ours": 1.500, "peer": null, "ratio": null}"#);
        let row = Row { peer: Some(("half", 0.75)), ..row };
        assert_eq!(row.json(), r#"{"row": "memory", "ours": 1.500, "peer": 0.750, "ratio": 2.000}"#);
    }
}
