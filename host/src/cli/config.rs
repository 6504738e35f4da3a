use clap::Subcommand;

use super::{Common, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say whether it is sound, and all that is not.
    Check(Common),
    /// Print the effective configuration; secrets show as where they come from.
    Show(Common),
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(common) => {
                let config = common.load()?;
                println!("the configuration is sound");
                if let Err(missing) = config.require_safe() {
                    println!("but `usher serve` needs more:\n{missing}");
                }
            }
            Self::Show(common) => {
                let text = toml::to_string_pretty(&common.load()?).map_err(anyhow::Error::new)?;
                print!("{text}");
            }
        }
        Ok(())
    }
}
