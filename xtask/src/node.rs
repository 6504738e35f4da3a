use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::sh::{self, Failure, OrFail, Result};

/// Node, and packages that are pinned here.
pub struct Node {
    pub version: String,
    /// Of `bench/peers`: the queues we are measured against and import from, and the driver that tests submit with. Scripts that use them are run from
    /// here.
    pub dir: PathBuf,
    /// Of `plugins/sdk-js`: what makes components of TypeScript and JavaScript.
    pub toolchain: PathBuf,
}

pub fn setup(check_only: bool) -> Result<Node> {
    let Some(version) = find() else {
        return Err(Failure::Missing("Node 20 or newer is missing: install it (https://nodejs.org)".to_owned()));
    };
    let peers = sh::root().join("bench/peers");
    let dir = install(&peers, "node", "graphile-worker, pg-boss 9 and 10, pg", check_only)?;
    let toolchain = install(&sh::root().join("plugins/sdk-js"), "sdk-js", "componentize-qjs, typescript", check_only)?;
    Ok(Node { version, dir, toolchain })
}

/// What a folder's lock file pins, in a folder of the cache that is named after it.
pub fn install(from: &Path, name: &str, what: &str, check_only: bool) -> Result<PathBuf> {
    let read = |name: &str| fs::read_to_string(from.join(name)).or_fail(name);
    let (package, lock) = (read("package.json")?, read("package-lock.json")?);
    let dir = sh::cache().join(format!("{name}-{:08x}", sh::fnv(lock.bytes()) >> 32));
    let stamp = dir.join("installed");
    if stamp.is_file() {
        return Ok(dir);
    }
    if check_only {
        return Err(Failure::Missing("the Node packages are not set up: cargo xtask setup".to_owned()));
    }
    println!("installing Node packages: {what}");
    if dir.exists() {
        fs::remove_dir_all(&dir).or_fail("remove half-made Node packages")?;
    }
    fs::create_dir_all(&dir).or_fail("make the folder of the Node packages")?;
    fs::write(dir.join("package.json"), package).or_fail("write package.json")?;
    fs::write(dir.join("package-lock.json"), lock).or_fail("write package-lock.json")?;
    let mut npm = Command::new("npm");
    sh::output(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&dir))?;
    fs::write(stamp, "").or_fail("write the stamp")?;
    Ok(dir)
}

fn find() -> Option<String> {
    let version = sh::output(Command::new("node").arg("--version")).ok()?;
    let major: u32 = version.trim_start_matches('v').split('.').next()?.parse().ok()?;
    (major >= 20).then_some(version)
}
