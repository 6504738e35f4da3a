use std::process::Command;

use crate::sh;

/// Node 20 or newer, for the peers that later tests are run against.
pub fn find() -> Option<String> {
    let version = sh::output(Command::new("node").arg("--version")).ok()?;
    let major: u32 = version.trim_start_matches('v').split('.').next()?.parse().ok()?;
    (major >= 20).then_some(version)
}
