use std::{fs, path::PathBuf, process::Command};

use super::{kit::Kit, postgres::Database, report::say};
use crate::{
    json::{self, Json},
    node,
    sh::{self, OrFail, Result},
};

const FILES: [&str; 3] = ["bench.mjs", "graphile.mjs", "pgboss.mjs"];

/// The other queues, installed from their lock file into the cache folder.
pub struct Peers {
    dir: PathBuf,
}

/// What a peer's drain came to.
pub struct Drained {
    pub rate: f64,
    /// Of enqueue and drain.
    pub wal_bytes: f64,
}

impl Peers {
    pub fn install() -> Result<Self> {
        let from = sh::root().join("bench/peers");
        let dir = node::setup(false)?.dir;
        // The scripts are copied always: they import from the node_modules beside them.
        for name in FILES {
            fs::copy(from.join(name), dir.join(name)).or_fail(name)?;
        }
        Ok(Self { dir })
    }

    /// Enqueues and drains this many jobs in a fresh database.
    pub fn drain(&self, kit: &Kit, script: &str, jobs: u64) -> Result<Drained> {
        let db = kit.postgres.fresh()?;
        let step = |command| self.step(&db, script, command, jobs);
        step("prepare")?;
        let enqueued = step("enqueue")?;
        db.checkpoint()?;
        let drained = step("drain")?;
        let rate = number(&drained, "rate")?;
        say(&format!("   {script:14} {rate:8.0} jobs/s, {} MB", number(&drained, "rss_mb")?));
        Ok(Drained { rate, wal_bytes: number(&enqueued, "wal_bytes")? + number(&drained, "wal_bytes")? })
    }

    /// Enqueues this many jobs in bulk, in a fresh database; jobs a second.
    pub fn enqueue(&self, kit: &Kit, script: &str, jobs: u64) -> Result<f64> {
        let db = kit.postgres.fresh()?;
        self.step(&db, script, "prepare", jobs)?;
        db.checkpoint()?;
        let rate = number(&self.step(&db, script, "enqueue", jobs)?, "rate")?;
        say(&format!("   {script:14} {rate:8.0} jobs/s"));
        Ok(rate)
    }

    fn step(&self, db: &Database, script: &str, command: &str, jobs: u64) -> Result<Json> {
        let mut node = Command::new("node");
        node.arg(self.dir.join(script)).args([command, "--url", &db.url(), "--jobs", &jobs.to_string()]);
        json::parse(&sh::output(&mut node)?).or_fail(format!("the answer of {script} {command}"))
    }
}

fn number(answer: &Json, key: &str) -> Result<f64> {
    match answer.get(key) {
        Some(Json::Number(number)) => Ok(*number),
        _ => sh::failed(format!("a peer names no {key}")),
    }
}
