use std::path::PathBuf;

use clap::Args;

use super::{Common, Failure};
use crate::{app, telemetry};

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    common: Common,
    /// A private Postgres, a random token secret and a watched plugins folder, all in the data folder.
    #[arg(long)]
    dev: bool,
    /// Where --dev keeps its things.
    #[arg(long, default_value = ".usher")]
    data_dir: PathBuf,
}

impl Serve {
    pub fn run(self) -> Result<(), Failure> {
        let mut config = self.common.load()?;
        if self.dev {
            config.fill_dev(&self.data_dir).map_err(Failure::Usage)?;
        }
        // Under --dev the database is started later; all else must be sound by now.
        if !self.dev {
            config.require_safe()?;
        }
        match config.plugins.dir.as_ref().filter(|_| self.dev) {
            Some(plugins) => telemetry::init_dev(&config.log, &plugins.join(telemetry::GUESTS)),
            None => telemetry::init(&config.log),
        }
        .map_err(Failure::Usage)?;
        let options = app::Options { config, dev: self.dev, data_dir: self.data_dir };
        super::runtime()?.block_on(app::serve(options))?;
        Ok(())
    }
}
