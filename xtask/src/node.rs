use std::{fs, path::PathBuf, process::Command};

use crate::sh::{self, Failure, OrFail, Result};

/// Node and the packages of `bench/peers`: the queues we are measured against, and the driver that tests submit with.
pub struct Node {
    pub version: String,
    /// Has `node_modules`; scripts that use them are run from here.
    pub dir: PathBuf,
}

pub fn setup(check_only: bool) -> Result<Node> {
    let Some(version) = find() else {
        return Err(Failure::Missing("Node 20 or newer is missing: install it (https://nodejs.org)".to_owned()));
    };
    let peers = sh::root().join("bench/peers");
    let read = |name: &str| fs::read_to_string(peers.join(name)).or_fail(name);
    let (package, lock) = (read("package.json")?, read("package-lock.json")?);
    // FNV-1a: a name that changes with what is pinned.
    let hash = lock.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let node = Node { version, dir: sh::cache().join(format!("node-{:08x}", hash >> 32)) };
    let stamp = node.dir.join("installed");
    if stamp.is_file() {
        return Ok(node);
    }
    if check_only {
        return Err(Failure::Missing("the Node packages are not set up: cargo xtask setup".to_owned()));
    }
    println!("installing Node packages: graphile-worker, pg-boss, pg");
    if node.dir.exists() {
        fs::remove_dir_all(&node.dir).or_fail("remove half-made Node packages")?;
    }
    fs::create_dir_all(&node.dir).or_fail("make the folder of the Node packages")?;
    fs::write(node.dir.join("package.json"), package).or_fail("write package.json")?;
    fs::write(node.dir.join("package-lock.json"), lock).or_fail("write package-lock.json")?;
    let mut npm = Command::new("npm");
    sh::output(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&node.dir))?;
    fs::write(stamp, "").or_fail("write the stamp")?;
    Ok(node)
}

fn find() -> Option<String> {
    let version = sh::output(Command::new("node").arg("--version")).ok()?;
    let major: u32 = version.trim_start_matches('v').split('.').next()?.parse().ok()?;
    (major >= 20).then_some(version)
}
