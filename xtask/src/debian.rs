//! Debian packages that bring a service along, of which only the program is wanted.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Command,
};

use crate::sh::{self, OrFail, Result};

/// Debian starts what it installs, unless this script says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs it, and nothing of it runs.
pub fn install_idle(package: &str) -> Result<()> {
    // Whoever made one already has said what shall be started.
    let ours = !Path::new(POLICY).exists();
    if ours {
        let mut script = OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY).or_fail(POLICY)?;
        script.write_all(b"#!/bin/sh\nexit 101\n").or_fail(POLICY)?;
    }
    let installed = sh::apt_install(&[package]);
    if ours {
        fs::remove_file(POLICY).or_fail(POLICY)?;
    }
    installed?;
    // Nor with the next start of the machine. Where there is no systemd there is nothing to disable.
    let _ = sh::output(Command::new("systemctl").args(["disable", "--now", package]));
    Ok(())
}
