//! `cargo xtask bench`: our figures beside those of other queues on the same PostgreSQL, with the same settings,
//! taking turns. Each run has a fresh database; each row is the median of three.
//!
//! Two variables of the environment are for trying it out, and make figures nobody should quote:
//! `USHER_BENCH_BIN` names a host to measure instead of building one in release, and `USHER_BENCH_SCALE` (e.g. 0.1)
//! multiplies how many jobs and how many seconds each row takes.

mod drain;
mod effect;
mod enqueue;
mod guest_start;
mod host;
mod kit;
mod latency;
mod memory;
mod peers;
mod postgres;
mod report;
mod submit;

use self::{
    kit::Kit,
    report::{Row, say},
};
use crate::sh::{self, Result};

/// Rows that one measurement yields.
struct Group {
    rows: &'static [&'static str],
    measure: fn(&Kit) -> Result<Vec<Row>>,
}

/// In the order of the table.
const GROUPS: &[Group] = &[
    Group { rows: &["drain", "drain-pgboss", "wal-per-job"], measure: drain::undisturbed },
    Group { rows: &["drain-held-txn"], measure: drain::held },
    Group { rows: &["drain-backlog"], measure: drain::backlog },
    Group { rows: &["drain-3-hosts"], measure: drain::three_hosts },
    Group { rows: &["submit"], measure: submit::measure },
    Group { rows: &["enqueue"], measure: enqueue::measure },
    Group { rows: &["latency-p50", "latency-p99"], measure: latency::measure },
    Group { rows: &["effect", "effect-p50", "effect-p99", "effect-commits"], measure: effect::at_once },
    Group { rows: &["effect-20ms"], measure: effect::after_20_ms },
    Group { rows: &["memory"], measure: memory::measure },
    Group { rows: &["guest-start"], measure: guest_start::measure },
];

/// With `json`, stdout has one line of JSON a row and nothing else; all the rest is on stderr.
pub fn run(json: bool, rows: &[&str]) -> Result<()> {
    let known: Vec<&str> = GROUPS.iter().flat_map(|group| group.rows).copied().collect();
    if let Some(unknown) = rows.iter().find(|row| !known.contains(row)) {
        return sh::failed(format!("no row {unknown:?}; there are {}", known.join(", ")));
    }
    let rows = if rows.is_empty() { known } else { rows.to_vec() };
    let kit = Kit::make(&rows)?;
    let mut measured = Vec::new();
    for group in GROUPS.iter().filter(|group| group.rows.iter().any(|row| kit.wants(row))) {
        say(&format!("── {}", group.rows.join(", ")));
        for row in (group.measure)(&kit)?.into_iter().filter(|row| kit.wants(row.name)) {
            // At once: a run of all rows takes half an hour, and what it knows should outlive its failure.
            if json {
                println!("{}", row.json());
            }
            measured.push(row);
        }
    }
    let table = report::table(&kit.machine, &measured);
    if json {
        say(&table);
    } else {
        println!("{table}");
    }
    // Last, so that the figures are there all the same.
    match kit.complaints() {
        text if text.is_empty() => Ok(()),
        text => sh::failed(text),
    }
}
