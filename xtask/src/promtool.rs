use std::path::PathBuf;

use crate::{
    debian,
    sh::{self, Failure, Result},
};

/// What Prometheus itself says of metrics: on the machine, else of the Debian package, whose service does not run.
pub fn setup(check_only: bool) -> Result<PathBuf> {
    if let Some(found) = sh::which("promtool") {
        return Ok(found);
    }
    if !check_only && sh::can_apt() {
        debian::install_idle("prometheus")?;
        if let Some(found) = sh::which("promtool") {
            return Ok(found);
        }
    }
    Err(Failure::Missing("no promtool: install it (Debian: prometheus), no service needed".to_owned()))
}
