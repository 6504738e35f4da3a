use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::sh::{self, Failure, OrFail, Result};

/// On the machine, else the Debian package, which then runs no service of its own.
pub fn setup(check_only: bool) -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if !check_only && sh::can_apt() {
        install()?;
        if let Some(found) = find() {
            return Ok(found);
        }
    }
    Err(Failure::Missing("no PgBouncer: install it (Debian: pgbouncer), no service needed".to_owned()))
}

/// Also where PATH of a plain user does not look.
fn find() -> Option<PathBuf> {
    sh::which("pgbouncer").or_else(|| Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|path| path.is_file()))
}

/// Debian starts what it installs, unless this script says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

fn install() -> Result<()> {
    // Whoever made one already has said what shall be started.
    let ours = !Path::new(POLICY).exists();
    if ours {
        let mut script = OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY).or_fail(POLICY)?;
        script.write_all(b"#!/bin/sh\nexit 101\n").or_fail(POLICY)?;
    }
    let installed = sh::apt_install(&["pgbouncer"]);
    if ours {
        fs::remove_file(POLICY).or_fail(POLICY)?;
    }
    installed?;
    // Nor with the next start of the machine. Where there is no systemd there is nothing to disable.
    let _ = sh::output(Command::new("systemctl").args(["disable", "--now", "pgbouncer"]));
    Ok(())
}
