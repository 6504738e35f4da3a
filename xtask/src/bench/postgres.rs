use std::{
    cell::Cell,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    postgres::Server,
    sh::{self, Failure, OrFail, Result, Running},
};

/// Ours and the peers' alike: room, and no checkpoint in the middle of a run.
const SETTINGS: [&str; 3] = ["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=30min"];

/// The one server of all runs.
pub struct Postgres {
    server: Server,
    psql: PathBuf,
    bin: PathBuf,
    made: Cell<u32>,
}

impl Postgres {
    pub fn start(bin: PathBuf) -> Result<Self> {
        let psql = client(&bin, "psql")?;
        Ok(Self { server: Server::start_with(&bin, &SETTINGS)?, psql, bin, made: Cell::new(0) })
    }

    /// An empty database, dropped with what this returns.
    pub fn fresh(&self) -> Result<Database<'_>> {
        let name = format!("bench{}", self.made.get());
        self.made.set(self.made.get() + 1);
        self.psql("postgres", &[&format!("CREATE DATABASE {name}")])?;
        Ok(Database { postgres: self, name })
    }

    pub fn pgbench(&self) -> Result<PathBuf> {
        client(&self.bin, "pgbench")
    }

    /// Each text a statement (and a transaction) of its own.
    fn psql(&self, database: &str, statements: &[&str]) -> Result<String> {
        let mut psql = Command::new(&self.psql);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"]).arg(self.server.url_of(database));
        sh::output(psql.args(statements.iter().flat_map(|statement| ["-c", statement])))
    }
}

/// A client beside the server, or on PATH.
fn client(bin: &std::path::Path, name: &str) -> Result<PathBuf> {
    Some(bin.join(name)).filter(|path| path.is_file()).or_else(|| sh::which(name)).ok_or_else(|| {
        Failure::Missing(format!("{name} is missing: install PostgreSQL's client programs (Debian: postgresql)"))
    })
}

pub struct Database<'a> {
    postgres: &'a Postgres,
    name: String,
}

impl Database<'_> {
    pub fn url(&self) -> String {
        self.postgres.server.url_of(&self.name)
    }

    /// The rows, a line each, columns parted by `|`.
    pub fn sql(&self, statements: &[&str]) -> Result<String> {
        self.postgres.psql(&self.name, statements)
    }

    /// The one number that a query yields.
    pub fn number(&self, query: &str) -> Result<f64> {
        self.sql(&[query])?.parse().or_fail(query)
    }

    /// Bytes of WAL the server has written since it was made.
    pub fn wal(&self) -> Result<f64> {
        self.number("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
    }

    /// Before a measured run, so that it pays for its own writes only.
    pub fn checkpoint(&self) -> Result<()> {
        self.sql(&["CHECKPOINT"]).map(drop)
    }

    /// Opens a transaction and sits on its snapshot: no row that dies from now on can be cleaned away.
    pub fn hold(&self) -> Result<Held> {
        let mut child = Command::new(&self.postgres.psql)
            .args(["-X", "-q", "-d", &self.url()])
            .env("PGAPPNAME", HOLDER)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .or_fail("start psql")?;
        let typed = match child.stdin.as_mut() {
            Some(stdin) => std::io::Write::write_all(stdin, b"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;\n"),
            None => return sh::failed("psql has no input"),
        };
        let held = Held { _process: Running::new("psql", child) };
        typed.or_fail("type into psql")?;
        let began = Instant::now();
        while !self.is_held()? {
            if began.elapsed() > Duration::from_secs(20) {
                return sh::failed("the held transaction did not begin");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(held)
    }

    /// The server itself says that the snapshot is still in the way.
    pub fn is_held(&self) -> Result<bool> {
        let found = self.number(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{HOLDER}'
             AND datname = current_database() AND state = 'idle in transaction' AND backend_xmin IS NOT NULL"
        ))?;
        Ok(found > 0.0)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        if let Err(Failure::Failed(message) | Failure::Missing(message)) = self.postgres.psql("postgres", &[&drop]) {
            eprintln!("xtask: {message}");
        }
    }
}

const HOLDER: &str = "bench-holder";

/// A transaction that stays open until this goes.
pub struct Held {
    _process: Running,
}
