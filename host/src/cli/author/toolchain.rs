//! Running the programs of others.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::usage;
use crate::cli::Failure;

/// One program of a toolchain, in the project's folder. Its words go to stderr, as they come: stdout is for what a command of ours
/// prints.
pub(super) fn step(dir: &Path, command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(|e| Failure::Usage(format!("{name} cannot be run: {e}")))?;
    if status.success() { Ok(()) } else { Err(Failure::Failed(anyhow::anyhow!("the plugin does not compile"))) }
}

/// A project's folder from the root: programs that are in it are run in it, and it may lie in a larger workspace.
pub(super) fn whole(dir: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(dir).map_err(|e| usage(dir, format!("cannot be read: {e}")))
}

/// What a program says, if it is there and all is well.
pub(super) fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
