//! All that runs: PostgreSQL, proxies, hosts, the ledger, and how to speak to them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::PgPool;

use crate::{
    Options,
    acks::Acks,
    database::Database,
    hosts::Host,
    ledger::Ledger,
    proxy::Proxy,
    support::{HostOptions, PATIENCE, component, env, scratch, token},
};

const HOSTS: usize = 3;
pub const QUEUES: [&str; 3] = ["money", "communication", "background"];

pub struct Rig {
    pub options: Options,
    pub dir: PathBuf,
    pub began: Instant,
    pub database: Database,
    pub proxies: Vec<Proxy>,
    pub hosts: Vec<Arc<Host>>,
    pub ledger: Ledger,
    pub acks: Acks,
    /// The database's, past the proxies.
    pub db: PgPool,
    pub http: reqwest::Client,
    pub user: String,
    pub admin: String,
    /// Two releases of one plugin, to be swapped, where they are built.
    pub analytics: Option<[PathBuf; 2]>,
}

impl Rig {
    pub async fn new(options: Options) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = scratch("chaos");
        let database = Database::start(&dir).await;
        let ledger = Ledger::start(&dir.join("ledger"), options.seed).await;
        let analytics = analytics();
        let host_options = host_options(ledger.port, analytics.is_some());
        let (mut proxies, mut hosts) = (Vec::new(), Vec::new());
        for index in 0..HOSTS {
            let proxy = Proxy::start(database.postgres.port).await;
            let url = format!("postgres://postgres@127.0.0.1:{}/usher", proxy.port);
            hosts.push(Host::new(index, dir.join(format!("host-{index}")), url, &host_options, None));
            proxies.push(proxy);
        }
        Self {
            options,
            began: Instant::now(),
            proxies,
            hosts,
            ledger,
            acks: Acks::new(&dir.join("acknowledged")),
            db: database.pool.clone(),
            database,
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap(),
            user: token("user", Some("t1")),
            admin: token("admin", None),
            analytics,
            dir,
        }
    }

    /// All hosts are ready, and serve every job type.
    pub async fn start(&self) {
        for host in &self.hosts {
            tokio::spawn(Arc::clone(host).supervise());
            // One after the other: the first compiles, the others find it compiled.
            until(&format!("host {} is ready", host.index), || host.base().is_some()).await;
        }
        let plugins = 2 + i64::from(self.analytics.is_some());
        let sql = "SELECT count(DISTINCT plugin) FROM activations";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&self.db).await.unwrap() < plugins {
            assert!(self.began.elapsed() < 2 * PATIENCE, "the plugins serve");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.note(&format!("{HOSTS} hosts are ready; seed {}", self.options.seed));
    }

    pub fn note(&self, what: &str) {
        note(self.began, what);
    }

    pub fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.began).as_secs_f64()
    }

    /// Children, by their process ids.
    pub fn stop_all(&self) {
        for host in &self.hosts {
            host.stop();
        }
        self.database.postgres.stop();
    }
}

/// A line for people, with both clocks.
pub fn note(began: Instant, what: &str) {
    eprintln!("{:8.3} {} {what}", began.elapsed().as_secs_f64(), chrono::Utc::now().format("%H:%M:%S%.3f"));
}

pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn host_options(ledger: u16, analytics: bool) -> HostOptions {
    let mut plugins = vec!["guest.wasm", "guest-effects.wasm"];
    if analytics {
        plugins.push("analytics.wasm");
    }
    let filter = std::env::var("CHAOS_LOG").unwrap_or_else(|_| "info".to_owned());
    HostOptions {
        config: format!(
            "[upstreams.rig]\nbase_url = \"http://127.0.0.1:{ledger}\"\nmethods = [\"POST\"]\ntimeout = \"2s\"\nidempotent = true\n"
        ),
        plugins,
        concurrency: 64,
        filter: filter.leak(),
        ..HostOptions::default()
    }
}

fn analytics() -> Option<[PathBuf; 2]> {
    let built = |name: &str| Path::new(&env("USHER_PLUGINS")).join(name).is_file();
    let both = std::env::var_os("USHER_PLUGINS").is_some() && built("analytics.wasm") && built("analytics-v2.wasm");
    both.then(|| [component("analytics.wasm"), component("analytics-v2.wasm")])
}
