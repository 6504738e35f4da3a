//! Commands for those who write plugins: from an empty folder to a component that is known to replay.

pub(super) mod build;
pub(super) mod dev;
mod follow;
mod javascript;
mod lang;
pub(super) mod new;
mod on;
mod python;
pub(super) mod run;
mod rust;
mod sdk;
pub(super) mod test;
mod toolchain;

use std::path::Path;

use super::Failure;

/// Bad input, with the file that it is in.
fn usage(file: &Path, message: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("{}: {message}", file.display()))
}
