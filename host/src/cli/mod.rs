//! The command line, one file a command.
//!
//! Owns: arguments, exit codes, and what commands print.
//! Refuses: anything the configuration refuses, with exit code 2.
//! Invariant: 0 done, 1 the answer is no, or it failed, 2 wrong usage or configuration, 3 no answer. What is printed holds no
//! character that steers a terminal, unless this room put it there.
//! Tables: none.

/// In place of those of std, in all files of this room: what is printed may hold a stranger's text, and who reads it may have
/// gone.
macro_rules! println {
    ($($what:tt)*) => {
        $crate::cli::output::line(format_args!($($what)*))
    };
}
macro_rules! print {
    ($($what:tt)*) => {
        $crate::cli::output::text(format_args!($($what)*))
    };
}

mod alerts;
mod audit;
mod author;
mod client;
mod completions;
mod config;
mod effects;
mod import;
mod jobs;
mod keys;
mod openapi;
mod output;
mod plugin;
mod plugins;
mod progress;
mod queues;
mod releases;
mod serve;
mod token;
mod verify;
mod view;

use std::{
    io::{Write, stderr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use serde_json::value::RawValue;

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
    /// Tokens for callers: mint, revoke.
    #[command(subcommand)]
    Token(token::Command),
    /// Keys of services that sign their requests: create, list, rotate, revoke.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Plugins: new, build, test, run, dev; check, pack, verify; publish, activate, roll back, retire.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Plugins of a running host: list, show; refusals.
    Plugins(plugins::Plugins),
    /// Jobs: list, show, submit, retry, cancel; replay finished ones.
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Take over what another queue holds: pg-boss.
    #[command(subcommand)]
    Import(import::Command),
    /// Alerts: list, acknowledge, resolve, silence.
    #[command(subcommand)]
    Alerts(alerts::Command),
    /// Queues: list, show, pause, resume.
    Queues(queues::Queues),
    /// Effects: list, resolve; compare the ledger with a provider.
    Effects(effects::Effects),
    /// What people did, newest first.
    Audit(audit::Audit),
    /// Print the HTTP API as OpenAPI 3.1.
    Openapi,
    /// The private PostgreSQL of --dev.
    #[command(subcommand)]
    Postgres(Postgres),
    /// Print what completes these commands in a shell.
    Completions { shell: clap_complete::Shell },
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
    /// Exit code 3: the host or the database does not answer, does not let us in, or says "not now".
    NoAnswer(anyhow::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoAnswer(_) => 3,
        }
    }

    /// Of a command whose exit code 1 is a verdict: what failed on the way to it is none.
    fn unasked(self) -> Self {
        match self {
            Self::Failed(error) => Self::NoAnswer(error),
            other => other,
        }
    }

    /// The same, with what it is about.
    fn about(self, what: &str) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(format!("{what}: {message}")),
            Self::Failed(error) => Self::Failed(error.context(what.to_owned())),
            Self::NoAnswer(error) => Self::NoAnswer(error.context(what.to_owned())),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Usage(message) => message.clone(),
            Self::Failed(error) | Self::NoAnswer(error) => format!("{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        // Wherever it surfaces, a fault of the configuration is one, and a database that is away is one.
        match error.downcast_ref::<ConfigError>() {
            Some(findings) => Self::Usage(findings.to_string()),
            None if error.chain().any(db::is_away) => Self::NoAnswer(error),
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
        Command::Keys(command) => command.run(),
        Command::Plugin(command) => command.run(),
        Command::Plugins(plugins) => plugins.run(),
        Command::Queues(queues) => queues.run(),
        Command::Audit(audit) => audit.run(),
        Command::Completions { shell } => {
            completions::print(shell);
            Ok(())
        }
        Command::Jobs(command) => command.run(),
        Command::Effects(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Alerts(command) => command.run(),
        Command::Openapi => openapi::run(),
        Command::Postgres(Postgres::Fetch { into }) => fetch(into),
        Command::CompileComponent { memory, cpu } => return runtime::compile::child_main(memory, cpu),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.message());
            ExitCode::from(failure.code())
        }
    }
}

/// The one place where a command says what went wrong. Where nobody listens there is nobody to tell.
fn complain(message: &str) {
    let _ = stderr().write_all(format!("usher: {}\n", output::clean(message)).as_bytes());
}

impl Common {
    /// The named file, or `usher.toml` if it is there.
    fn load(&self) -> Result<Config, ConfigError> {
        let default = Path::new("usher.toml");
        load(self.config.as_deref().or_else(|| default.is_file().then_some(default)))
    }
}

/// JSON as it stands, or in a file, or on standard input (-); verbatim. `option`: where it was said.
fn read_json(option: &str, said: &str) -> Result<Box<RawValue>, Failure> {
    if said != "-"
        && let Ok(json) = RawValue::from_string(said.to_owned())
    {
        return Ok(json);
    }
    let (read, place) = match said {
        "-" => (std::io::read_to_string(std::io::stdin()), "standard input"),
        file => (std::fs::read_to_string(file), file),
    };
    let text =
        read.map_err(|e| Failure::Usage(format!("{option}: {place} is no JSON, and cannot be read as a file: {e}")))?;
    RawValue::from_string(text).map_err(|e| Failure::Usage(format!("{option}: {place} holds no JSON: {e}")))
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
