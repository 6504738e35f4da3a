use std::path::PathBuf;

use clap::Subcommand;

use super::{Common, Failure, author, releases, verify};
use crate::{
    releases::{contract, typescript},
    runtime::{
        check,
        pack::{self, Made},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    New(author::new::New),
    Build(author::build::Build),
    Test(author::test::Test),
    Run(author::run::Run),
    Dev(author::dev::Dev),
    Verify(verify::Verify),
    /// Say what a component imports, asks for and needs, and whether this host would load it.
    Check {
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Print the contract's reference, in Markdown.
    #[command(hide = true)]
    Reference {
        /// Its types for TypeScript instead.
        #[arg(long)]
        types: bool,
    },
    /// Embed the manifest in a component, which is made of a core module first if that is what the compiler left.
    #[command(group = clap::ArgGroup::new("made").required(true).args(["core", "component"]))]
    Pack {
        /// plugin.toml; files that it names lie beside it.
        #[arg(long)]
        manifest: PathBuf,
        /// The core module that the compiler made (Rust).
        #[arg(long)]
        core: Option<PathBuf>,
        /// The component that the toolchain made (JavaScript, Python).
        #[arg(long)]
        component: Option<PathBuf>,
        #[arg(short, long)]
        output: PathBuf,
    },
    #[command(flatten)]
    Releases(releases::Command),
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Releases(command) => command.run(),
            Self::New(new) => new.run(),
            Self::Build(build) => build.run(),
            Self::Test(test) => test.run(),
            Self::Run(run) => run.run(),
            Self::Dev(dev) => dev.run(),
            Self::Verify(verify) => verify.run(),
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
            Self::Reference { types } => {
                let text = if types { typescript::declarations() } else { contract::reference() };
                let text = text.map_err(|e| Failure::Failed(anyhow::anyhow!(e)))?;
                print!("{text}");
                Ok(())
            }
            Self::Pack { manifest, core, component, output } => {
                let made = match (&core, &component) {
                    (Some(core), None) => Made::Core(core),
                    (None, Some(component)) => Made::Component(component),
                    _ => return Err(Failure::Usage("one of --core and --component".to_owned())),
                };
                let component = pack::pack(&manifest, made).map_err(|e| Failure::Usage(e.to_string()))?;
                std::fs::write(&output, component)
                    .map_err(|e| Failure::Usage(format!("cannot write {}: {e}", output.display())))?;
                Ok(())
            }
        }
    }
}
