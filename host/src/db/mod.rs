//! The way to Postgres.
//!
//! Owns: the pools and their settings, straight or through a pooler, commits that many share, the check of the server's version,
//! the migrations, and the private server of `--dev`.
//! Refuses: a server below 14, a database that a newer Usher has migrated, and a pooler whose sessions are not ours.
//! Invariant: a pool that this room gives out talks to a supported server, in UTC and in the schema public.
//! Tables: schema_meta (and sqlx's own).

mod connect;
pub mod embedded;
mod fault;
mod gather;
mod migrate;
mod pool;

pub use self::{
    connect::{Database, Place, straight},
    fault::{Fault, is_away, is_lock_timeout},
    gather::{Commit, Full, Gather, Sizes},
    migrate::{migrate, newest_migration},
    pool::{Durable, Load, Pool, Session},
};

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database URL is not understood (postgres://user:password@host:port/database)")]
    Url,
    #[error("cannot connect to {place}")]
    Connect {
        /// Host, port and database; never the password.
        place: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("PostgreSQL {found} is too old: Usher needs 14 to 18. Point DATABASE_URL at a newer server")]
    TooOld { found: String },
    #[error(
        "the database was migrated by a newer Usher (migration {version} is not in this binary): install that version, or restore a backup"
    )]
    Newer { version: i64 },
    #[error("migration {version} in the database differs from this binary's: this is not a database of this Usher")]
    Altered { version: i64 },
    #[error("cannot migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("cannot read the server's version")]
    Version(#[source] sqlx::Error),
    #[error("cannot read the settings of a session")]
    Session(#[source] sqlx::Error),
    /// Settings of a start do not come through a pooler, so they must be the role's.
    #[error(
        "a session here has {name} = \"{found}\"; what a host asks for when it connects does not come through a pooler. Run\n   {remedy}\nand let the pooler open its server connections anew (RECONNECT on its console)"
    )]
    Foreign { name: &'static str, found: String, remedy: String },
}
