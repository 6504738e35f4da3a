//! The private Postgres of `usher serve --dev`: found on the machine, in a folder that persists, on a free port, with a
//! random password, as an unprivileged user when we are root.

mod account;
mod binaries;
mod server;

pub use self::{
    binaries::{cache_dir, fetch, find},
    server::Embedded,
};

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "no PostgreSQL server (14 or newer) was found on this machine. Install one (Debian: apt-get install postgresql), name its folder of binaries in USHER_PG_BIN, run `usher postgres fetch`, or set DATABASE_URL"
    )]
    NotFound,
    #[error(
        "{dir} belongs to PostgreSQL {found}, and the server found here is {server}. Use that version, or another --data-dir"
    )]
    OtherVersion { dir: PathBuf, found: String, server: u32 },
    #[error("{dir} holds something that is no PostgreSQL data folder")]
    Foreign { dir: PathBuf },
    #[error(
        "the user {user} cannot reach {dir}: a folder above it is closed to others (chmod o+x), or use another --data-dir"
    )]
    Unreachable { dir: PathBuf, user: String },
    #[error("cannot {what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{command} failed: {output}")]
    Command { command: String, output: String },
    #[error("the server did not come up: {log}")]
    NotReady { log: String },
    #[error("the download failed: {0}")]
    Download(String),
}

impl EmbeddedError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
