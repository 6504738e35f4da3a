//! What makes a component of a plugin in Python: componentize-py, as the project's requirements.txt pins it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    toolchain::{step, whole},
    usage,
};
use crate::cli::Failure;

/// Both are below the project.
pub(super) fn componentize(dir: &Path, wit: &str, out: &str) -> Result<(), Failure> {
    let dir = &whole(dir)?;
    let mut make = Command::new(tool(dir)?);
    make.args(["-d", wit, "-w", "plugin", "componentize", "-p", "src", "app", "-o", out]);
    step(dir, &mut make)
}

/// Of the project's environment, of the one that is active, or on the PATH.
fn tool(dir: &Path) -> Result<PathBuf, Failure> {
    let active = env::var_os("VIRTUAL_ENV").map(|environment| PathBuf::from(environment).join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [dir.join(".venv/bin")].into_iter().chain(active).chain(env::split_paths(&path));
    let found = folders.map(|folder| folder.join("componentize-py")).find(|file| file.is_file());
    found.ok_or_else(|| {
        usage(
            dir,
            "there is no componentize-py: run `python3 -m venv .venv && .venv/bin/pip install -r requirements.txt` in it",
        )
    })
}
