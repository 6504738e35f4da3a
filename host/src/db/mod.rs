//! The way to Postgres.
//!
//! Owns: the pool and its settings, the check of the server's version, the migrations, and the private server of `--dev`.
//! Refuses: a server below 14, and a database that a newer Usher has migrated.
//! Invariant: a pool that this room gives out talks to a supported server, in UTC.
//! Tables: schema_meta (and sqlx's own).

pub mod embedded;
mod migrate;

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, PgPool,
    postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
};

pub use self::migrate::migrate;

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
}

/// The oldest major version that is served.
const OLDEST: u32 = 14;
/// The newest one that the tests run on.
const NEWEST: u32 = 18;

/// Connects, checks the server's version, and gives out a pool.
pub async fn connect(url: &str, max_connections: u32) -> Result<PgPool, DbError> {
    // A parse error may quote the URL, and with it the password.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| DbError::Url)?
        .application_name("usher")
        // The schema of the SQL door is called usher: for a role of that name "$user" would stand before public.
        .options([("timezone", "UTC"), ("search_path", "public")]);
    let place =
        format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or("postgres"));
    let mut first = PgConnection::connect_with(&options)
        .await
        .map_err(|source| DbError::Connect { place: place.clone(), source })?;
    check_version(&mut first).await?;
    // It has done its duty; an error on the way out changes nothing.
    let _ = first.close().await;
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await
        .map_err(|source| DbError::Connect { place, source })
}

async fn check_version(db: &mut PgConnection) -> Result<(), DbError> {
    let number: String =
        sqlx::query_scalar("SHOW server_version_num").fetch_one(&mut *db).await.map_err(DbError::Version)?;
    let name: String = sqlx::query_scalar("SHOW server_version").fetch_one(db).await.map_err(DbError::Version)?;
    match support(number.parse().unwrap_or(0)) {
        Support::TooOld => Err(DbError::TooOld { found: name }),
        Support::Untried => {
            tracing::warn!(server.version = name, "this PostgreSQL is newer than any that Usher was tested on");
            Ok(())
        }
        Support::Tested => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Support {
    TooOld,
    Tested,
    Untried,
}

/// By `server_version_num`, e.g. 150018 for 15.18.
fn support(version_num: u32) -> Support {
    match version_num / 10_000 {
        major if major < OLDEST => Support::TooOld,
        major if major > NEWEST => Support::Untried,
        _ => Support::Tested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_14_to_18_are_served_and_older_ones_refused() {
        assert_eq!(support(90_624), Support::TooOld);
        assert_eq!(support(130_022), Support::TooOld);
        assert_eq!(support(140_000), Support::Tested);
        assert_eq!(support(180_004), Support::Tested);
        assert_eq!(support(190_000), Support::Untried);
        assert!(DbError::TooOld { found: "13.22".to_owned() }.to_string().contains("needs 14 to 18"));
    }

    #[tokio::test]
    async fn a_bad_url_is_not_repeated() {
        let error = connect("nonsense://u:hunter2@h", 1).await.expect_err("not a URL");
        assert!(!format!("{error:?}{error}").contains("hunter2"));
    }
}
