//! The command line, one file a command.
//!
//! Owns: arguments, exit codes, and what commands print.
//! Refuses: anything the configuration refuses, with exit code 2.
//! Invariant: 0 done, 1 failed, 2 wrong usage or configuration.
//! Tables: none.

#![expect(clippy::print_stdout, reason = "printing is what a command line is for")]

mod author;
mod client;
mod config;
mod effects;
mod jobs;
mod openapi;
mod plugin;
mod releases;
mod serve;
mod token;
mod verify;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, ConfigError, load},
    db::{self, Database, Durable, Place},
    runtime, telemetry,
};

#[derive(Debug, Parser)]
#[command(name = "usher", version, about = "A job platform in one binary on PostgreSQL", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a host: HTTP, queue, plugins, effects.
    Serve(serve::Serve),
    /// Bring the database's schema up to this binary, and end.
    Migrate(Common),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// Tokens for callers.
    #[command(subcommand)]
    Token(token::Command),
    /// Plugins: new, build, test, run, dev; check, pack, verify; publish, activate, roll back, retire.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Jobs: replay finished ones.
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Effects: compare the ledger with a provider.
    #[command(subcommand)]
    Effects(effects::Command),
    /// Print the HTTP API as OpenAPI 3.1.
    Openapi,
    /// The private PostgreSQL of --dev.
    #[command(subcommand)]
    Postgres(Postgres),
    /// Compile a component from stdin to stdout; the host runs this in a limited child.
    #[command(hide = true)]
    CompileComponent {
        /// Bytes.
        #[arg(long)]
        memory: u64,
        /// Seconds.
        #[arg(long)]
        cpu: u64,
    },
}

#[derive(Debug, Subcommand)]
enum Postgres {
    /// Download server binaries, for machines that have none.
    Fetch {
        /// Folder for them; each version gets its own.
        #[arg(long)]
        into: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Configuration file [default: usher.toml, if it is there]
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Why a command ended early.
enum Failure {
    /// Exit code 2.
    Usage(String),
    /// Exit code 1.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        // Wherever it surfaces, a fault of the configuration is one.
        match error.downcast_ref::<ConfigError>() {
            Some(findings) => Self::Usage(findings.to_string()),
            None => Self::Failed(error),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Parses the arguments, runs the command, says what went wrong.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Migrate(common) => migrate(&common),
        Command::Config(command) => command.run(),
        Command::Token(command) => command.run(),
        Command::Plugin(command) => command.run(),
        Command::Jobs(command) => command.run(),
        Command::Effects(command) => command.run(),
        Command::Openapi => openapi::run(),
        Command::Postgres(Postgres::Fetch { into }) => fetch(into),
        Command::CompileComponent { memory, cpu } => return runtime::compile::child_main(memory, cpu),
    };
    let (code, message) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => (2, message),
        Err(Failure::Failed(error)) => (1, format!("{error:#}")),
    };
    complain(&message);
    ExitCode::from(code)
}

#[expect(clippy::print_stderr, reason = "the one place where a command says what went wrong")]
fn complain(message: &str) {
    eprintln!("usher: {message}");
}

impl Common {
    /// The named file, or `usher.toml` if it is there.
    fn load(&self) -> Result<Config, ConfigError> {
        let default = Path::new("usher.toml");
        load(self.config.as_deref().or_else(|| default.is_file().then_some(default)))
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Failed(anyhow::Error::new(e).context("cannot start the runtime")))
}

/// The database of a command that only reads: straight to the server, where a pooler stands before it.
async fn database(config: &Config) -> Result<Database, Failure> {
    let Some(url) = config.database.direct_url.as_ref().or(config.database.url.as_ref()) else {
        return Err(Failure::Usage("no database is named: set DATABASE_URL or database.url".to_owned()));
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = url.expose();
    let place = Place { url, is_pooled: false, direct: url, durable: Durable::default() };
    Ok(Database::connect(place, CONNECTIONS).await.context("cannot use the database")?)
}

/// Of a command that reads.
const CONNECTIONS: u32 = 2;

fn migrate(common: &Common) -> Result<(), Failure> {
    let config = common.load()?;
    telemetry::init(&config.log).map_err(Failure::Usage)?;
    // Straight to the server, where a pooler stands before it.
    let Some(url) = config.database.direct_url.as_ref().or(config.database.url.as_ref()) else {
        return Err(Failure::Usage("no database is named: set DATABASE_URL or database.url".to_owned()));
    };
    runtime()?.block_on(async {
        let pool = db::straight(url.expose()).await.map_err(anyhow::Error::new)?;
        db::migrate(&pool).await.map_err(anyhow::Error::new)?;
        println!("the database is up to date");
        Ok(())
    })
}

fn fetch(into: Option<PathBuf>) -> Result<(), Failure> {
    use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
    let into = into.unwrap_or_else(|| db::embedded::cache_dir().join("postgres"));
    // The archive crate reports its progress as spans, which this layer draws as a bar.
    let bar = tracing_indicatif::IndicatifLayer::new();
    let _ = tracing_subscriber::registry().with(bar).try_init();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = runtime()?.block_on(db::embedded::fetch(&into)).map_err(anyhow::Error::new)?;
    println!("{}", dir.display());
    Ok(())
}
