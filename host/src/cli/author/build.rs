use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{javascript, lang::Lang, python, rust, usage};
use crate::{
    cli::Failure,
    releases::{policy, world},
    runtime::{inspect, pack},
};

/// Compile a project, make a component of it, embed its manifest. Rust, TypeScript, JavaScript or Python: its files say which.
#[derive(Debug, Args)]
pub(in crate::cli) struct Build {
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// [default: target/NAME.wasm in the project]
    #[arg(short, long)]
    output: Option<PathBuf>,
}

/// Which version the component says it has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// The manifest's.
    AsWritten,
    /// One of its content, for a host that is to take each build.
    OfContent,
}

/// A component that was made.
pub(super) struct Built {
    pub name: String,
    pub job_types: Vec<String>,
    pub file: PathBuf,
    pub component: Vec<u8>,
}

impl Build {
    pub fn run(self) -> Result<(), Failure> {
        let built = build(&self.dir, self.output.as_deref(), Version::AsWritten)?;
        println!("{} ({} KiB)", built.file.display(), built.component.len().div_ceil(1024));
        Ok(())
    }
}

/// Everything that can be said about the manifest is said before anything is compiled.
pub(super) fn build(dir: &Path, output: Option<&Path>, version: Version) -> Result<Built, Failure> {
    let manifest_file = dir.join("plugin.toml");
    let mut source = pack::Source::read(&manifest_file).map_err(|e| Failure::Usage(e.to_string()))?;
    let name = source.manifest.name.clone();
    let job_types = source.manifest.jobs.iter().map(|job| job.job_type.clone()).collect();
    let lang = Lang::of(dir)?;
    // For toolchains that import all of the world that they are given, and for whoever looks.
    write(&dir.join(WIT).join("usher.wit"), world::package(&source.manifest.grants).as_bytes())?;
    let made = match lang {
        Lang::Rust => rust::compile(dir)?,
        Lang::Ts => javascript::componentize(dir, WIT, MADE).map(|()| dir.join(MADE))?,
        Lang::Py => python::componentize(dir, WIT, MADE).map(|()| dir.join(MADE))?,
    };
    if version == Version::OfContent {
        let bytes = fs::read(&made).map_err(|e| usage(&made, format!("cannot be read: {e}")))?;
        source = source.stamped(&bytes).map_err(|e| usage(&manifest_file, e))?;
    }
    let made = if lang == Lang::Rust { pack::Made::Core(&made) } else { pack::Made::Component(&made) };
    let component = source.component(made).map_err(|e| Failure::Usage(e.to_string()))?;
    granted(&manifest_file, &source, &component)?;

    let file = output.map_or_else(|| dir.join("target").join(format!("{name}.wasm")), Path::to_owned);
    write(&file, &component)?;
    Ok(Built { name, job_types, file, component })
}

/// Below a project: the contract, with the plugin's own world.
const WIT: &str = "target/wit";
/// What a toolchain made that makes components. No plugin has such a name.
const MADE: &str = "target/_component.wasm";

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let made = match file.parent() {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    };
    made.and_then(|()| fs::write(file, bytes)).map_err(|e| usage(file, format!("cannot be written: {e}")))
}

/// A host would refuse it, and the author shall know before they ship it.
fn granted(manifest: &Path, source: &pack::Source, component: &[u8]) -> Result<(), Failure> {
    let imports = inspect::inspect(component).map_err(|e| Failure::Usage(e.to_string()))?.imports;
    let own = world::interfaces(&source.manifest.grants);
    let place = |table: &str| {
        let line = source.toml.lines().position(|line| line.trim_start().starts_with(table));
        line.map_or_else(|| manifest.display().to_string(), |n| format!("{}:{}", manifest.display(), n + 1))
    };
    for import in &imports {
        match import.strip_prefix("usher:plugin/").and_then(|rest| rest.split('@').next()) {
            Some(interface) if own.contains(&interface) => {}
            Some(interface) => {
                let place = place("[grants]");
                return Err(Failure::Usage(format!(
                    "{place}: the code calls {import}, but [grants] has no {interface}: add what it may use"
                )));
            }
            // Of WASI there is what leads nowhere.
            None => policy::takes(import, &source.manifest)
                .map_err(|error| Failure::Usage(format!("{}: {error}", place("[plugin]"))))?,
        }
    }
    Ok(())
}
