use clap::Subcommand;

use super::{Common, Failure};
use crate::telemetry;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say whether it is sound and enough to serve, and all that is not. Exit code 0 where `usher serve` would take it, 2 where not.
    Check {
        #[command(flatten)]
        common: Common,
        /// For `serve --dev`, which makes an issuer and a database where none is named
        #[arg(long)]
        dev: bool,
    },
    /// Print the effective configuration; secrets show as where they come from.
    Show(Common),
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check { common, dev } => {
                let config = common.load()?;
                if !dev {
                    config.require_safe()?;
                }
                telemetry::init(&config.log).map_err(Failure::Usage)?;
                println!("the configuration is sound");
            }
            Self::Show(common) => {
                let text = toml::to_string_pretty(&common.load()?).map_err(anyhow::Error::new)?;
                print!("{text}");
            }
        }
        Ok(())
    }
}
