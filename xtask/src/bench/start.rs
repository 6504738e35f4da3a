//! The cost of starting a guest, measured inside the host.

use std::process::Command;

use super::{
    kit::Kit,
    report::{Row, say},
};
use crate::{
    json::{self, Json},
    sh::{self, OrFail, Result},
};

/// `usher bench guest-start` prints one line of JSON whose `us` is the median start in microseconds. A host that does
/// not know the command has no such row.
pub fn measure(kit: &Kit) -> Result<Vec<Row>> {
    let output = Command::new(&kit.usher)
        .args(["bench", "guest-start"])
        .current_dir(&kit.dir)
        .output()
        .or_fail("run usher bench guest-start")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("unrecognized subcommand") {
            say("   guest-start is left out: this host has no `usher bench guest-start`");
            return Ok(Vec::new());
        }
        return sh::failed(format!("usher bench guest-start: {}\n{}", output.status, said.trim()));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    match json::parse(said.trim()).or_fail("the answer of usher bench guest-start")?.get("us") {
        Some(Json::Number(us)) => {
            Ok(vec![Row { name: "guest-start", unit: "µs", ours: *us, peer: None, note: "median" }])
        }
        _ => sh::failed(format!("usher bench guest-start names no \"us\": {}", said.trim())),
    }
}
