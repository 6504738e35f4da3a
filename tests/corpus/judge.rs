//! The reckoning.

use std::time::{Duration, Instant};

use crate::{
    load::{Submits, p99},
    offer::{HANG, Offered},
    rig::Rig,
};

/// Of the host, at its peak: what it may have at a thousand jobs in flight.
const RSS: u64 = 500 << 20;
/// What a component may do to the submits beside it.
const RATIO: f64 = 2.0;
/// How long the rest may take once nothing new comes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Evidence shown.
const SHOWN: usize = 20;

pub struct Report {
    pub line: String,
    faults: Vec<String>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

pub async fn judge(rig: &Rig, offered: &Offered, submits: &Submits) -> Report {
    let mut faults = offered.breaches.clone();
    faults.extend(submits.failed.iter().cloned());
    let (panics, rss) = (rig.panics(), rig.peak_rss());
    faults.extend(panics.iter().cloned());
    if rss > RSS {
        faults.push(format!("the host had {} MiB, more than {}", rss >> 20, RSS >> 20));
    }
    if rig.is_alive() {
        others(rig, submits, &mut faults).await;
        its_own(rig, offered, &mut faults).await;
    }
    let (before, during) = (p99(&submits.before), p99(&submits.during));
    let ratio = during.as_secs_f64() / before.as_secs_f64().max(f64::MIN_POSITIVE);
    if rig.options.is_long() && ratio > RATIO {
        faults.push(format!("the submits' p99 went from {before:?} to {during:?}"));
    }
    for (kind, told) in &offered.told {
        let told: Vec<_> = told.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        println!("{kind}: {}", told.join(", "));
    }
    println!(
        "p99 of submits: {before:?} of {} before, {during:?} of {} meanwhile; the slowest component took {:?} ({}); {} jobs of mutated code",
        submits.before.len(),
        submits.during.len(),
        offered.slowest.0,
        offered.slowest.1,
        offered.jobs.len(),
    );
    faults.iter().take(SHOWN).for_each(|fault| println!("breach: {fault}"));
    let line = format!(
        "corpus: components={} refused={} accepted={} panics={} slowest_s={:.1} rss_mb={} p99_ratio={ratio:.2} seed={}",
        offered.components,
        offered.refused,
        offered.accepted,
        panics.len(),
        offered.slowest.0.as_secs_f64(),
        rss >> 20,
        rig.options.seed,
    );
    Report { line, faults }
}

/// All that was acknowledged beside the components ran, once, and as if nothing had been there.
async fn others(rig: &Rig, submits: &Submits, faults: &mut Vec<String>) {
    let done = "SELECT count(*) FROM jobs_archive WHERE job_type = 'guest-money' AND state = 'completed' AND attempt = 1 \
                AND errors = '[]'";
    let began = Instant::now();
    let mut completed = rig.db.count(done).await;
    while completed < submits.acknowledged && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
        completed = rig.db.count(done).await;
    }
    let all = rig.db.count("SELECT count(*) FROM jobs_archive WHERE job_type = 'guest-money'").await;
    if (completed, all) != (submits.acknowledged, submits.acknowledged) {
        faults.push(format!(
            "of {} acknowledged jobs, {completed} completed at once, of {all} rows",
            submits.acknowledged
        ));
    }
}

/// Jobs of mutated code are over or wait for something; none is lost, and none runs on for ever. Of the components, those that were
/// taken are stored, and no others.
async fn its_own(rig: &Rig, offered: &Offered, faults: &mut Vec<String>) {
    let running = "SELECT count(*) FROM jobs WHERE state = 'running'";
    let began = Instant::now();
    while rig.db.count(running).await > 0 && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let still = rig.db.count(running).await;
    if still > 0 {
        faults.push(format!("{still} jobs run for more than {PATIENCE:?}"));
    }
    for id in &offered.jobs {
        let there = format!(
            "SELECT (SELECT count(*) FROM jobs WHERE id = '{id}') + (SELECT count(*) FROM jobs_archive WHERE id = '{id}')"
        );
        if rig.db.count(&there).await != 1 {
            faults.push(format!("the job {id} of mutated code is lost, or there twice"));
        }
    }
    let stored = rig.db.count("SELECT count(*) FROM releases").await;
    // One is the load's.
    if stored != i64::try_from(offered.accepted).unwrap_or(i64::MAX) + 1 {
        faults.push(format!("{} components were taken, and {stored} are stored", offered.accepted));
    }
    if offered.slowest.0 <= HANG && offered.components < rig.options.count {
        faults.push(format!("only {} components were offered", offered.components));
    }
}
