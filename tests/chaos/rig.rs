//! All that runs: PostgreSQL, proxies, hosts, the ledger, and how to speak to them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    Options,
    acks::Acks,
    hosts::Host,
    ledger::Ledger,
    proxy::Proxy,
    support::{HostOptions, PATIENCE, component, env, postgres::Postgres, scratch, token, usher},
};

const HOSTS: usize = 3;
pub const QUEUES: [&str; 3] = ["money", "communication", "background"];

pub struct Rig {
    pub options: Options,
    pub dir: PathBuf,
    pub began: Instant,
    pub postgres: Postgres,
    /// From the signal to the end of the server, for each crash that we made.
    crashes: Mutex<Vec<(Instant, Instant)>>,
    pub proxies: Vec<Proxy>,
    pub hosts: Vec<Arc<Host>>,
    pub ledger: Ledger,
    pub acks: Acks,
    /// Straight to PostgreSQL, past the proxies.
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
        let postgres = Postgres::start(dir.join("postgres")).await;
        let admin: PgConnectOptions = postgres.url("postgres").parse().unwrap();
        let pool = PgPoolOptions::new().max_connections(1).connect_with(admin).await.unwrap();
        sqlx::query("CREATE DATABASE usher").execute(&pool).await.unwrap();
        pool.close().await;
        let mut migrate = usher();
        migrate.arg("migrate").env("DATABASE_URL", postgres.url("usher")).stdin(Stdio::null());
        let output = migrate.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let ours: PgConnectOptions = postgres.url("usher").parse().unwrap();
        let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(5));
        let db = pool.connect_with(ours.application_name("chaos")).await.unwrap();
        let ledger = Ledger::start(&dir.join("ledger"), options.seed).await;
        let analytics = analytics();
        let host_options = host_options(ledger.port, analytics.is_some());
        let (mut proxies, mut hosts) = (Vec::new(), Vec::new());
        for index in 0..HOSTS {
            let proxy = Proxy::start(postgres.port).await;
            let url = format!("postgres://postgres@127.0.0.1:{}/usher", proxy.port);
            hosts.push(Host::new(index, dir.join(format!("host-{index}")), url, &host_options));
            proxies.push(proxy);
        }
        Self {
            options,
            began: Instant::now(),
            postgres,
            crashes: Mutex::default(),
            proxies,
            hosts,
            ledger,
            acks: Acks::new(&dir.join("acknowledged")),
            db,
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

    /// A line for people, with both clocks.
    pub fn note(&self, what: &str) {
        eprintln!("{:8.3} {} {what}", self.began.elapsed().as_secs_f64(), chrono::Utc::now().format("%H:%M:%S%.3f"));
    }

    pub fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.began).as_secs_f64()
    }

    /// PostgreSQL ends in immediate mode, and is started again.
    pub async fn crash(&self, down: Duration) {
        let began = Instant::now();
        self.postgres.crash().await;
        self.crashes.lock().unwrap().push((began, Instant::now()));
        tokio::time::sleep(down).await;
        self.postgres.start_again().await;
    }

    pub fn crashes(&self) -> Vec<(Instant, Instant)> {
        self.crashes.lock().unwrap().clone()
    }

    /// Children, by their process ids.
    pub fn stop_all(&self) {
        for host in &self.hosts {
            host.stop();
        }
        self.postgres.stop();
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
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
