//! PostgreSQL, one host, and how to speak to it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::{
    Options,
    seeds::{self, Seed},
    support::{Client, Db, Host, HostOptions, postgres::Postgres, scratch},
};

pub struct Rig {
    pub options: Options,
    pub dir: PathBuf,
    began: Instant,
    pub db: Db,
    /// Honest plugins, to be mutated.
    pub seeds: Vec<Seed>,
    pub user: Client,
    pub admin: Client,
    postgres: Postgres,
    host: Mutex<Host>,
}

impl Rig {
    pub async fn start(options: Options) -> Self {
        let dir = scratch("corpus");
        let postgres = Postgres::start(dir.join("postgres")).await;
        let db = Db::on(&postgres.url("postgres")).await;
        let seeds = seeds::all();
        let host = Host::start(&db, None, host_options(options, &seeds, &dir)).await;
        let (user, admin) = (host.client(), host.admin());
        Self { options, dir, began: Instant::now(), db, seeds, user, admin, postgres, host: Mutex::new(host) }
    }

    fn with_host<T>(&self, what: impl FnOnce(&mut Host) -> T) -> T {
        what(&mut self.host.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn is_alive(&self) -> bool {
        self.with_host(Host::is_alive)
    }

    /// The most that the host ever had, in bytes.
    pub fn peak_rss(&self) -> u64 {
        let pid = self.with_host(|host| host.pid());
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        // A host that is gone says nothing, which is no good sign either.
        kilobytes.map_or(u64::MAX, |kilobytes| kilobytes * 1024)
    }

    /// Panics of the host, each in its first line. A guest's own are lines of its log.
    pub fn panics(&self) -> Vec<String> {
        let log = self.with_host(|host| host.log());
        let is_one = |line: &&str| line.starts_with("thread '") && line.contains("panicked at");
        log.lines().filter(is_one).map(str::to_owned).collect()
    }

    pub fn note(&self, what: &str) {
        eprintln!("{:8.3} {what}", self.began.elapsed().as_secs_f64());
    }

    /// Children, by their process ids.
    pub fn stop(&self) {
        self.with_host(|host| {
            if host.is_alive() {
                host.kill9();
            }
        });
        self.postgres.stop();
    }
}

fn host_options(options: Options, seeds: &[Seed], dir: &Path) -> HostOptions {
    let filter = std::env::var("CORPUS_LOG").unwrap_or_else(|_| "info".to_owned());
    let policy =
        "[plugins.policy.guest]\njobs = [\"guest\", \"guest-money\"]\n[plugins.policy.hostile]\njobs = [\"hostile\"]\n";
    let policies: String = seeds.iter().map(Seed::policy).collect();
    // A short run has no time for the product's minute.
    let short = ("USHER_RUNTIME__COMPILE_CPU", "10s".to_owned());
    HostOptions {
        plugins: vec!["guest.wasm"],
        // Quarantine is on: what is mutated and taken may well trap on each of its jobs.
        config: "[plugins.quarantine]\n".to_owned(),
        policy: Some(policy.to_owned() + &policies),
        data_dir: Some(dir.join("host")),
        filter: filter.leak(),
        env: if options.is_long() { Vec::new() } else { vec![short] },
        ..HostOptions::default()
    }
}
