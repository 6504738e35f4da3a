//! Effects: 64 guests that each call a provider again and again, every call journaled before and after, beside the same
//! calls made bare by reqwest. The provider is a process of its own: `host/benches/effect.rs`.

use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use super::{
    host::Host,
    kit::{Kit, alternate},
    postgres::Database,
    report::{Row, median, say},
};
use crate::{
    demo,
    json::{self, Json},
    sh::{self, OrFail, Result, Running},
};

const IN_FLIGHT: u64 = 64;

/// What one run showed.
struct Seen {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// All commits of the database while the calls went on, over the calls: claims and settlements are among them.
    commits: f64,
}

pub fn at_once(kit: &Kit) -> Result<Vec<Row>> {
    let (ours, bare) = beside(kit, 0)?;
    let peer = Some(("reqwest, bare", middle(&bare, |seen| seen.per_second)));
    let note = "64 in flight, a provider that answers at once";
    Ok(vec![
        Row { name: "effect", unit: "calls/s", ours: middle(&ours, |seen| seen.per_second), peer, note },
        row("effect-p50", "ms", &ours, &bare, |seen| seen.p50_ms),
        row("effect-p99", "ms", &ours, &bare, |seen| seen.p99_ms),
        Row {
            name: "effect-commits",
            unit: "commits/call",
            ours: middle(&ours, |seen| seen.commits),
            peer: None,
            note: "of the whole database, claims and settlements among them",
        },
    ])
}

pub fn after_20_ms(kit: &Kit) -> Result<Vec<Row>> {
    let (ours, bare) = beside(kit, 20)?;
    let peer = Some(("reqwest, bare", middle(&bare, |seen| seen.per_second)));
    let note = "64 in flight, a provider that answers after 20 ms";
    Ok(vec![Row { name: "effect-20ms", unit: "calls/s", ours: middle(&ours, |seen| seen.per_second), peer, note }])
}

fn row(name: &'static str, unit: &'static str, ours: &[Seen], bare: &[Seen], of: fn(&Seen) -> f64) -> Row {
    Row { name, unit, ours: middle(ours, of), peer: Some(("reqwest, bare", middle(bare, of))), note: "" }
}

fn middle(runs: &[Seen], of: fn(&Seen) -> f64) -> f64 {
    median(&runs.iter().map(of).collect::<Vec<_>>())
}

fn beside(kit: &Kit, delay_ms: u64) -> Result<(Vec<Seen>, Vec<Seen>)> {
    let calls = kit.scaled(if delay_ms == 0 { 500 } else { 300 }, 20);
    let peer = Peer::start(delay_ms)?;
    let mut figures = alternate(&[&|| ours(kit, &peer, calls), &|| bare(&peer, calls * IN_FLIGHT)])?;
    let bare = figures.pop().unwrap_or_default();
    Ok((figures.pop().unwrap_or_default(), bare))
}

fn ours(kit: &Kit, peer: &Peer, calls: u64) -> Result<Seen> {
    let db = kit.postgres.fresh()?;
    let mut host =
        Host::start(kit, &db, "host", Some(&kit.plugin.with_file_name("bench-effect.wasm")), &config(&peer.base))?;
    host.post("/queues/money/pause")?;
    let mut http = host.http()?;
    for _ in 0..IN_FLIGHT {
        http.submit("bench-effect", &format!("{{\"calls\":{calls}}}"))?;
    }
    db.checkpoint()?;
    let before = commits(&db)?;
    host.post("/queues/money/resume")?;
    let began = Instant::now();
    while db.number("SELECT count(*) FROM jobs")? > 0.0 {
        host.check_alive()?;
        if began.elapsed() > Duration::from_secs(180) {
            return sh::failed("the calls are not done after three minutes");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let looks = began.elapsed().as_secs_f64() / 0.2;
    let after = commits(&db)?;
    let done = db.number("SELECT count(*) FROM jobs_archive WHERE state = 'completed'")?;
    if done != IN_FLIGHT as f64 {
        return sh::failed(format!("{done} of {IN_FLIGHT} jobs were completed"));
    }
    // The whole way of one call: from the end of the one before to its own, as the journal has them.
    let line = db.sql(&["WITH e AS (
             SELECT a.id, (x ->> 'startedAt')::timestamptz AS started, (x ->> 'endedAt')::timestamptz AS ended
             FROM jobs_archive a, jsonb_array_elements(a.journal) x
         ), w AS (
             SELECT extract(epoch FROM ended - lag(ended) OVER (PARTITION BY id ORDER BY ended)) * 1000 AS ms FROM e
         )
         SELECT (SELECT count(*) / extract(epoch FROM max(ended) - min(started)) FROM e), count(*),
                percentile_disc(0.5) WITHIN GROUP (ORDER BY ms), percentile_disc(0.99) WITHIN GROUP (ORDER BY ms)
         FROM w"])?;
    let numbers: Vec<f64> = line.trim().split('|').filter_map(|field| field.parse().ok()).collect();
    let [per_second, effects, p50_ms, p99_ms] = numbers.as_slice() else {
        return sh::failed(format!("the journal said {line:?}"));
    };
    if *effects != (IN_FLIGHT * calls) as f64 {
        return sh::failed(format!("{effects} effects of {} are in the journal", IN_FLIGHT * calls));
    }
    let seen =
        Seen { per_second: *per_second, p50_ms: *p50_ms, p99_ms: *p99_ms, commits: (after - before - looks) / effects };
    say(&format!(
        "   {:14} {:8.0} calls/s, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, {:.2} commits a call",
        "usher", seen.per_second, seen.commits
    ));
    Ok(seen)
}

/// The statistics of a backend that still works come with a delay of up to a second.
fn commits(db: &Database) -> Result<f64> {
    std::thread::sleep(Duration::from_millis(1_500));
    db.number("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
}

fn bare(peer: &Peer, calls: u64) -> Result<Seen> {
    let said = sh::output(program()?.args(["bare", &peer.base, &calls.to_string(), &IN_FLIGHT.to_string()]))?;
    let answer = json::parse(said.trim()).or_fail("the answer of effect bare")?;
    let number = |name: &str| match answer.get(name) {
        Some(Json::Number(value)) => *value,
        _ => f64::NAN,
    };
    let seen =
        Seen { per_second: number("per_second"), p50_ms: number("p50_ms"), p99_ms: number("p99_ms"), commits: 0.0 };
    say(&format!(
        "   {:14} {:8.0} calls/s, p50 {:.2} ms, p99 {:.2} ms",
        "reqwest, bare", seen.per_second, seen.p50_ms, seen.p99_ms
    ));
    Ok(seen)
}

/// One queue has at most two thirds of a node's jobs.
fn config(peer: &str) -> String {
    format!(
        "[worker]\nconcurrency = {}\n\n[plugins.policy.bench-effect]\nupstream = [\"peer\"]\n\n\
         [upstreams.peer]\nbase_url = \"{peer}\"\nmethods = [\"POST\"]\nidempotent = true\n",
        IN_FLIGHT * 2
    )
}

/// The provider.
struct Peer {
    base: String,
    _process: Running,
}

impl Peer {
    fn start(delay_ms: u64) -> Result<Self> {
        let mut peer = program()?;
        peer.args(["peer", &delay_ms.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child: Child = peer.spawn().or_fail("start the provider")?;
        let base = demo::first_line(&mut child, "the provider")?;
        Ok(Self { base, _process: Running::new("the provider", child) })
    }
}

/// `host/benches/effect.rs`, built as the host is.
fn program() -> Result<std::process::Command> {
    let mut bench = sh::cargo();
    bench.args(["bench", "--quiet", "--package", "usher-host", "--bench", "effect", "--"]).env("SQLX_OFFLINE", "true");
    Ok(bench)
}
