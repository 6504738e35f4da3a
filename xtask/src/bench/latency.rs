//! From just before a submit is sent to the start of its guest, on a host that has nothing else to do.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    host::Host,
    kit::{Kit, alternate},
    postgres::Database,
    report::{Row, figure, median, percentile, say},
};
use crate::{
    json::{self, Json},
    sh::{self, OrFail, Result},
};

pub fn measure(kit: &Kit) -> Result<Vec<Row>> {
    let figures = alternate(&[&|| run(kit)])?;
    let all = figures.first().map_or(&[][..], Vec::as_slice);
    let p50 = median(&all.iter().map(|(p50, _)| *p50).collect::<Vec<_>>());
    let p99 = median(&all.iter().map(|(_, p99)| *p99).collect::<Vec<_>>());
    let note = "submit to guest; the guest's clock has whole ms, rounded down: up to 1 ms too low, 0.5 on average";
    Ok(vec![
        Row { name: "latency-p50", unit: "ms", ours: p50, peer: None, note },
        Row { name: "latency-p99", unit: "ms", ours: p99, peer: None, note },
    ])
}

/// Median and 99th percentile, in ms.
fn run(kit: &Kit) -> Result<(f64, f64)> {
    let db = kit.postgres.fresh()?;
    let host = Host::start(kit, &db, "host", Some(&kit.plugin), "")?;
    let mut http = host.http()?;
    let mut submit = |n: u64| http.submit("bench-noop", &format!("{{\"venueId\":\"v1\",\"n\":{n}}}"));
    // The first jobs warm caches and connections.
    for n in 0..50 {
        submit(n)?;
    }
    let jobs = kit.scaled(2_000, 200);
    let mut sent = BTreeMap::new();
    for n in 0..jobs {
        thread::sleep(Duration::from_millis(3));
        let at = SystemTime::now().duration_since(UNIX_EPOCH).or_fail("look at the clock")?;
        sent.insert(submit(n)?, at.as_secs_f64() * 1e3);
    }
    let started = starts(&db, jobs + 50)?;
    let waits: Vec<f64> = sent.iter().filter_map(|(id, at)| started.get(id).map(|start| start - at)).collect();
    if waits.len() as u64 != jobs {
        return sh::failed(format!("{} of {jobs} jobs have a start", waits.len()));
    }
    let (p50, p99) = (percentile(&waits, 0.5), percentile(&waits, 0.99));
    say(&format!("   p50 {} ms, p99 {} ms", figure(p50), figure(p99)));
    Ok((p50, p99))
}

/// When each job's guest began, in ms since the epoch, as the guest itself saw it.
fn starts(db: &Database, jobs: u64) -> Result<BTreeMap<String, f64>> {
    let began = Instant::now();
    while db.number("SELECT count(*) FROM jobs_archive WHERE state = 'completed'")? < jobs as f64 {
        if began.elapsed() > Duration::from_secs(60) {
            return sh::failed(format!("{jobs} jobs were not completed within a minute"));
        }
        thread::sleep(Duration::from_millis(200));
    }
    let mut started = BTreeMap::new();
    for line in db.sql(&["SELECT id, result FROM jobs_archive"])?.lines() {
        let Some((id, result)) = line.split_once('|') else { continue };
        if let Some(Json::Number(at)) = json::parse(result).or_fail("a result")?.get("atMs") {
            started.insert(id.to_owned(), *at);
        }
    }
    Ok(started)
}
