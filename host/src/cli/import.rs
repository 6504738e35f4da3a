use std::{
    fs,
    io::{IsTerminal, stderr},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use tracing_indicatif::{IndicatifLayer, span_ext::IndicatifSpanExt, style::ProgressStyle};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

use super::{Common, Failure, database, runtime};
use crate::{
    config::Config,
    import::{ImportError, Importer, Map, Options, Place, Report, Source},
    telemetry,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What waits in pg-boss 9 or 10, and the keys of what the old service did. A dry run, unless --apply is said. Exit code 0: done,
    /// or nothing speaks against it; 1: something does, and nothing was moved; 2: wrong usage.
    PgBoss(PgBoss),
}

#[derive(Debug, Args)]
pub(super) struct PgBoss {
    /// The old database: postgres://user:password@host/database [default: USHER_IMPORT_FROM, which others don't see]
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Of pg-boss
    #[arg(long, default_value = "pgboss")]
    schema: String,
    /// The old service's table of keys
    #[arg(long, value_name = "TABLE", default_value = "public.queue_idempotency_keys")]
    keys: String,
    /// Write nothing: the default
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Do it
    #[arg(long)]
    apply: bool,
    /// How names and fields of the old service are read (docs/from-pg-boss.md)
    #[arg(long, value_name = "map.toml")]
    map: Option<PathBuf>,
    /// Of jobs that name none
    #[arg(long)]
    tenant: Option<String>,
    /// Jobs that are under way there come too and wait for a person
    #[arg(long, value_enum, value_name = "HOW")]
    treat_active_as: Option<Active>,
    /// Leave behind what can't be taken in
    #[arg(long)]
    skip_unmapped: bool,
    /// Cancel at the source what is here, so that no worker there takes it
    #[arg(long, requires = "apply")]
    cancel_source: bool,
    /// Jobs of one transaction
    #[arg(long, hide = true, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Active {
    Park,
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Usage(message) => Self::Usage(message),
            other => Self::Failed(other.into()),
        }
    }
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        let Self::PgBoss(import) = self;
        import.run()
    }
}

impl PgBoss {
    fn run(self) -> Result<(), Failure> {
        let config = self.common.load()?;
        let map = self.map()?;
        if self.tenant.as_ref().is_some_and(|tenant| !(1..=128).contains(&tenant.chars().count())) {
            return Err(Failure::Usage("--tenant must have 1 to 128 characters".to_owned()));
        }
        let url = self.from.clone().or_else(|| std::env::var("USHER_IMPORT_FROM").ok());
        let url = url.ok_or_else(|| {
            Failure::Usage("the old database is not named: say --from, or set USHER_IMPORT_FROM".to_owned())
        })?;
        let bars = Bars::start(&config)?;
        let report = runtime()?.block_on(self.import(&config, map, url, &bars))?;
        drop(bars);
        if self.json {
            println!("{}", serde_json::json!(report));
        } else {
            println!("{report}");
        }
        match report.refused.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(Failure::Failed(anyhow!("{first}"))),
        }
    }

    fn map(&self) -> Result<Map, Failure> {
        let Some(file) = &self.map else { return Ok(Map::default()) };
        let place = |message: String| Failure::Usage(format!("{}: {message}", file.display()));
        let text = fs::read_to_string(file).map_err(|e| place(format!("cannot be read: {e}")))?;
        Map::parse(&text).map_err(place)
    }

    async fn import(&self, config: &Config, map: Map, url: String, bars: &Bars) -> Result<Report, Failure> {
        let database = database(config).await?;
        let place = Place { url, schema: self.schema.clone(), keys: self.keys.clone() };
        let mut importer = Importer {
            source: Source::open(&place).await?,
            map,
            options: Options {
                tenant: self.tenant.clone(),
                skips_unmapped: self.skip_unmapped,
                parks_active: self.treat_active_as.is_some(),
                cancels_source: self.cancel_source,
                batch: self.batch.into(),
            },
            pool: &database.pool,
            config,
        };
        let progress = |what: &'static str, done: u64, of: u64| bars.show(what, done, of);
        let report = if self.apply && !self.dry_run {
            importer.apply("cli:import", &progress).await
        } else {
            importer.look(&progress).await
        };
        database.close().await;
        Ok(report?)
    }
}

/// A bar on a terminal; elsewhere nothing.
struct Bars(Mutex<Option<(&'static str, tracing::Span)>>);

impl Bars {
    fn start(config: &Config) -> Result<Self, Failure> {
        if stderr().is_terminal() {
            let _ = tracing_subscriber::registry().with(IndicatifLayer::new()).try_init();
        } else {
            telemetry::init(&config.log).map_err(Failure::Usage)?;
        }
        Ok(Self(Mutex::default()))
    }

    fn show(&self, what: &'static str, done: u64, of: u64) {
        let mut bar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bar.as_ref().is_none_or(|(shown, _)| *shown != what) {
            let span = tracing::info_span!("import", what);
            let style = ProgressStyle::with_template("{msg:>8} {wide_bar} {pos}/{len} {eta}");
            span.pb_set_style(&style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            span.pb_set_message(what);
            span.pb_set_length(of);
            span.pb_start();
            *bar = Some((what, span));
        }
        if let Some((_, span)) = bar.as_ref() {
            span.pb_set_length(of.max(done));
            span.pb_set_position(done);
        }
    }
}
