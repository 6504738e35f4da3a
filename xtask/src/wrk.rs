use std::path::PathBuf;

use crate::sh::{self, Failure, Result};

/// On the machine, else the Debian package. Only for the commands that send load over HTTP: nothing else wants it.
pub fn setup() -> Result<PathBuf> {
    if let Some(found) = sh::which("wrk") {
        return Ok(found);
    }
    if sh::can_apt() {
        sh::apt_install(&["wrk"])?;
        if let Some(found) = sh::which("wrk") {
            return Ok(found);
        }
    }
    Err(Failure::Missing("no wrk: install it (Debian: wrk)".to_owned()))
}
