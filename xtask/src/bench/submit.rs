//! Submits over HTTP, each durable before its 202, against bare inserts of the same row by pgbench.

use std::{path::Path, process::Command};

use super::{
    host::Host,
    kit::{Kit, alternate},
    report::{Row, median, say},
};
use crate::{
    sh::{self, OrFail, Result},
    wrk,
};

/// The payload, but for the end of its order id between the two: both sides write the same bytes.
const HEAD: &str = r#"{"orderId":"order-"#;
const TAIL: &str = r#"","venueId":"venue-17","userId":"user-204381","eventId":"event-5521","amount":12900,"currency":"eur","seats":["A12","A13"],"email":"ada.lovelace@example.com","channel":"web","createdAt":"2030-01-01T12:00:00.000Z"}"#;

pub fn measure(kit: &Kit) -> Result<Vec<Row>> {
    let wrk = wrk::setup()?;
    let seconds = kit.scaled(10, 1);
    let figures = alternate(&[&|| ours(kit, &wrk, seconds), &|| pgbench(kit, seconds)])?;
    let rate = |run: usize| figures.get(run).map_or(f64::NAN, |rates| median(rates));
    let peer = Some(("bare INSERT by pgbench", rate(1)));
    Ok(vec![Row { name: "submit", unit: "jobs/s", ours: rate(0), peer, note: "64 connections; pgbench: 32" }])
}

/// The host runs no jobs, so that what was accepted can be counted in its table.
fn ours(kit: &Kit, wrk: &Path, seconds: u64) -> Result<f64> {
    let db = kit.postgres.fresh()?;
    let host = Host::start(kit, &db, "host", Some(&kit.plugin), "[worker]\nconcurrency = 0\n")?;
    db.checkpoint()?;
    let mut command = Command::new(wrk);
    command
        .args(["-t2", "-c64", &format!("-d{seconds}s"), "-s"])
        .arg(sh::root().join("bench/submit.lua"))
        .arg(&host.base)
        .env("BENCH_TOKEN", &host.token)
        .env("BENCH_HEAD", format!("{{\"type\":\"bench-order\",\"payload\":{HEAD}"))
        .env("BENCH_TAIL", format!("{TAIL}}}"));
    let said = sh::output(&mut command)?;
    let Some(line) = said.lines().find_map(|line| line.strip_prefix("bench ")) else {
        return sh::failed(format!("wrk's script did not report:\n{said}"));
    };
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let [micros, answers, refused, broken, late] = numbers.as_slice() else {
        return sh::failed(format!("wrk's script reported {line:?}"));
    };
    if *refused > 0.0 || *broken > 0.0 {
        return sh::failed(format!("wrk saw {refused} answers other than 2xx and {broken} broken connections"));
    }
    let rows = db.number("SELECT count(*) FROM jobs WHERE job_type = 'bench-order'")?;
    // Up to one more a connection: stored when wrk hung up.
    if rows < *answers || rows > answers + 64.0 {
        return sh::failed(format!("wrk had {answers} answers, but there are {rows} jobs"));
    }
    let rate = answers.min(rows) / (micros / 1e6);
    say(&format!("   {:14} {rate:8.0} jobs/s ({rows:.0} rows, {late:.0} answers later than 2 s)", "usher"));
    Ok(rate)
}

/// The row of a submit, into a table of the same columns and no index but its primary key.
fn pgbench(kit: &Kit, seconds: u64) -> Result<f64> {
    let db = kit.postgres.fresh()?;
    let mut migrate = Command::new(&kit.usher);
    sh::output(migrate.arg("migrate").env("DATABASE_URL", db.url()).current_dir(&kit.dir))?;
    db.sql(&["CREATE TABLE plain (LIKE jobs INCLUDING DEFAULTS)", "ALTER TABLE plain ADD PRIMARY KEY (tier, id)"])?;
    db.checkpoint()?;
    let mut command = Command::new(kit.postgres.pgbench()?);
    command
        .args(["-n", "-M", "prepared", "-c", "32", "-j", "2", "-T", &seconds.to_string(), "-D", "n=0", "-D"])
        .arg(format!("head={HEAD}"))
        .arg("-D")
        .arg(format!("tail={TAIL}"))
        .arg("-f")
        .arg(sh::root().join("bench/submit.sql"))
        .arg(db.url());
    let said = sh::output(&mut command)?;
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next());
    let Some(tps) = tps else { return sh::failed(format!("pgbench named no rate:\n{said}")) };
    let rate = tps.parse().or_fail("pgbench's rate")?;
    say(&format!("   {:14} {rate:8.0} rows/s", "pgbench"));
    Ok(rate)
}
