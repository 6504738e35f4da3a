use std::path::PathBuf;

use clap::Subcommand;

use super::{Common, Failure, author};
use crate::runtime::{check, pack};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    New(author::new::New),
    Build(author::build::Build),
    Test(author::test::Test),
    Run(author::run::Run),
    Dev(author::dev::Dev),
    /// Say what a component imports, asks for and needs, and whether this host would load it.
    Check {
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Print the contract's reference, in Markdown.
    #[command(hide = true)]
    Reference,
    /// Make a component of a core module, with its manifest embedded.
    Pack {
        /// plugin.toml; files that it names lie beside it.
        #[arg(long)]
        manifest: PathBuf,
        /// The core module that the compiler made.
        #[arg(long)]
        core: PathBuf,
        #[arg(short, long)]
        output: PathBuf,
    },
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::New(new) => new.run(),
            Self::Build(build) => build.run(),
            Self::Test(test) => test.run(),
            Self::Run(run) => run.run(),
            Self::Dev(dev) => dev.run(),
            Self::Check { file, common } => {
                let config = common.load()?;
                let report = super::runtime()?.block_on(check::check(&file, &config)).map_err(Failure::Usage)?;
                print!("{report}");
                if report.refusal.is_none() {
                    Ok(())
                } else {
                    Err(Failure::Usage("this host would not load it".to_owned()))
                }
            }
            Self::Reference => {
                let text = crate::releases::contract::reference().map_err(|e| Failure::Failed(anyhow::anyhow!(e)))?;
                print!("{text}");
                Ok(())
            }
            Self::Pack { manifest, core, output } => {
                let component = pack::pack(&manifest, &core).map_err(|e| Failure::Usage(e.to_string()))?;
                std::fs::write(&output, component)
                    .map_err(|e| Failure::Usage(format!("cannot write {}: {e}", output.display())))?;
                Ok(())
            }
        }
    }
}
