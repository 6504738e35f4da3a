//! What the author of a plugin has: a project from nothing, cases that are crashed at every effect, one job on the table.

mod cases;
mod dev;
mod projects;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::{env, scratch, usher};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn play_in(component: &Path, cases: &Path, args: &[&str]) -> (i32, Value) {
    let output = usher()
        .args(["plugin", "test", "--json"])
        .args(args)
        .arg(component)
        .arg("--cases")
        .arg(cases)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| Value::String(text(&output)));
    (output.status.code().unwrap(), report)
}

/// `usher`, building where the other guests are built: std and what is shared is there.
fn builder(dir: &Path) -> Command {
    let mut command = usher();
    command.current_dir(dir).env("CARGO_TARGET_DIR", Path::new(&env("USHER_GUESTS")).join("../wasm"));
    command
}

fn project(name: &str) -> PathBuf {
    project_in("rust", name)
}

/// In a folder whose name has a space.
fn project_in(lang: &str, name: &str) -> PathBuf {
    let dir = scratch("a project");
    let made = builder(&dir).args(["plugin", "new", name, "--lang", lang]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made));
    dir.join(name)
}
