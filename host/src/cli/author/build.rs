use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use clap::Args;

use super::{
    toolchain::{TARGET, Toolchain},
    usage,
};
use crate::{
    cli::Failure,
    releases::world,
    runtime::{inspect, pack},
};

/// Compile a project, make a component of it, embed its manifest.
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
    if !dir.join("Cargo.toml").is_file() {
        return Err(usage(dir, "there is no Cargo.toml beside plugin.toml"));
    }
    let core = compile(dir)?;
    if version == Version::OfContent {
        let module = fs::read(&core).map_err(|e| usage(&core, format!("cannot be read: {e}")))?;
        source = source.stamped(&module).map_err(|e| usage(&manifest_file, e))?;
    }
    let component = source.component(pack::Made::Core(&core)).map_err(|e| Failure::Usage(e.to_string()))?;
    granted(&manifest_file, &source, &component)?;

    let file = output.map_or_else(|| dir.join("target").join(format!("{name}.wasm")), Path::to_owned);
    write(&file, &component)?;
    // For whoever looks, and for toolchains that want the plugin's own world.
    write(&dir.join("target/wit/usher.wit"), world::package(&source.manifest.grants).as_bytes())?;
    Ok(Built { name, file, component })
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let made = match file.parent() {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    };
    made.and_then(|()| fs::write(file, bytes)).map_err(|e| usage(file, format!("cannot be written: {e}")))
}

/// Runs cargo, whose own words go to the terminal; returns the core module.
fn compile(dir: &Path) -> Result<PathBuf, Failure> {
    let output = Toolchain::find(dir)?
        .cargo(dir)
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| Failure::Usage(format!("cargo cannot be run: {e}")))?;
    if !output.status.success() {
        return Err(Failure::Failed(anyhow::anyhow!("the plugin does not compile")));
    }
    let modules: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| {
            let files = message["filenames"].as_array().cloned().unwrap_or_default();
            files.iter().filter_map(|file| file.as_str().map(PathBuf::from)).collect::<Vec<_>>()
        })
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    match modules.as_slice() {
        [module] => Ok(module.clone()),
        [] => Err(usage(&dir.join("Cargo.toml"), "makes no module: [lib] wants crate-type = [\"cdylib\"]")),
        _ => Err(usage(&dir.join("Cargo.toml"), "makes more than one module; one plugin is one cdylib")),
    }
}

/// A host would refuse it, and the author shall know before they ship it.
fn granted(manifest: &Path, source: &pack::Source, component: &[u8]) -> Result<(), Failure> {
    let imports = inspect::inspect(component).map_err(|e| Failure::Usage(e.to_string()))?.imports;
    let own = world::interfaces(&source.manifest.grants);
    for import in &imports {
        let interface = import.strip_prefix("usher:plugin/").and_then(|rest| rest.split('@').next());
        let is_own = interface.is_some_and(|interface| own.contains(&interface));
        if !is_own {
            let line = source.toml.lines().position(|line| line.trim_start().starts_with("[grants]")).map(|n| n + 1);
            let place = line.map_or_else(|| manifest.display().to_string(), |n| format!("{}:{n}", manifest.display()));
            return Err(Failure::Usage(match interface {
                Some(interface) => {
                    format!("{place}: the code calls {import}, but [grants] has no {interface}: add what it may use")
                }
                None => format!("{place}: the code imports {import}, which no host serves"),
            }));
        }
    }
    Ok(())
}
