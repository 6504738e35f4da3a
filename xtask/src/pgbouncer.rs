use std::path::PathBuf;

use crate::{
    debian,
    sh::{self, Failure, Result},
};

/// On the machine, else the Debian package, which then runs no service of its own.
pub fn setup(check_only: bool) -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if !check_only && sh::can_apt() {
        debian::install_idle("pgbouncer")?;
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
