//! PostgreSQL as a run has it: one database with our schema, and crashes that are remembered.

use std::{
    path::Path,
    process::Stdio,
    sync::Mutex,
    time::{Duration, Instant},
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::support::{postgres::Postgres, usher};

/// What PostgreSQL may lose of asynchronous commits: three times `wal_writer_delay`, with room.
const ASYNC: Duration = Duration::from_secs(1);

pub struct Database {
    pub postgres: Postgres,
    /// From the signal to the end of the server, for each crash that we made.
    crashes: Mutex<Vec<(Instant, Instant)>>,
    /// Straight to PostgreSQL, past all proxies.
    pub pool: PgPool,
}

impl Database {
    pub async fn start(dir: &Path) -> Self {
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
        let pool = pool.connect_with(ours.application_name("chaos")).await.unwrap();
        Self { postgres, crashes: Mutex::default(), pool }
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

    /// Whether a crash may have taken a job that was sent and acknowledged then. The commit was in between. Tier 3 goes with
    /// any crash after it, tier 2 with one that came before its commit can have been flushed.
    pub fn may_have_lost(&self, tier: i16, sent: Instant, answered: Instant) -> bool {
        self.crashes().iter().any(|(began, ended)| match tier {
            3 => *ended >= sent,
            2 => *ended >= sent && answered + ASYNC >= *began,
            _ => false,
        })
    }
}
