//! What makes a component of a plugin in TypeScript or JavaScript: tsc, then componentize-qjs, as the project's package.json pins
//! them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    toolchain::{output, step, whole},
    usage,
};
use crate::cli::Failure;

/// Both are below the project.
pub(super) fn componentize(dir: &Path, wit: &str, out: &str) -> Result<(), Failure> {
    has_node()?;
    let dir = &whole(dir)?;
    let (tsc, componentize) = (tool(dir, "tsc")?, tool(dir, "componentize-qjs")?);
    // What was compiled of a file that is no longer there would be found all the same.
    let js = dir.join("target/js");
    if js.exists() {
        fs::remove_dir_all(&js).map_err(|e| usage(&js, format!("cannot be removed: {e}")))?;
    }
    step(dir, Command::new(tsc).args(["-p", "."]))?;
    let entry = "target/js/src/plugin.js";
    if !dir.join(entry).is_file() {
        return Err(usage(
            &dir.join("tsconfig.json"),
            "does not make target/js/src/plugin.js: rootDir is \".\", outDir \"target/js\"",
        ));
    }
    // Without --sync it is a component of the async model; with --stub-wasi the clock traps.
    let mut make = Command::new(componentize);
    make.args(["--sync", "--opt-size", "--world", "plugin", "--wit", wit, "--module-root", "target/js"]);
    step(dir, make.args(["--js", entry, "-o", out]))
}

/// Of the project, or of the workspace that it is a part of.
fn tool(dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    let found = dir.ancestors().map(|folder| folder.join("node_modules/.bin").join(name)).find(|file| file.is_file());
    found.ok_or_else(|| usage(dir, format!("there is no node_modules/.bin/{name}: run `npm ci` in it")))
}

fn has_node() -> Result<(), Failure> {
    let version = output(Command::new("node").arg("--version")).unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    let found = match major {
        Some(20..) => return Ok(()),
        Some(_) => format!("node is {version}"),
        None => "there is no node on the PATH".to_owned(),
    };
    Err(Failure::Usage(format!("{found}: install Node 20 or newer (https://nodejs.org)")))
}
