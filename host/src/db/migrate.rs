use std::{borrow::Cow, time::Duration};

use sqlx::{
    Connection, Executor, PgPool,
    migrate::{MigrateError, Migrator},
};

use super::DbError;

/// Forward only, embedded in the binary.
static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// How often a migration that waits behind somebody's lock is tried.
const TRIES: u32 = 30;

/// Brings the schema up to this binary. Hosts that start at once take turns under sqlx's advisory lock. A lock that
/// some other program holds makes us step back and try again: a queued ALTER would block everybody behind it.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    let mut tries = 0;
    loop {
        match run(pool).await {
            Ok(()) => return Ok(()),
            Err(error) if tries < TRIES && is_lock_timeout(&error) => {
                tries += 1;
                tracing::warn!(tries, "a migration waits for a lock that another program holds");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(MigrateError::VersionMissing(version)) => return Err(DbError::Newer { version }),
            Err(MigrateError::VersionMismatch(version)) => return Err(DbError::Altered { version }),
            Err(error) => return Err(DbError::Migrate(error)),
        }
    }
}

/// The newest migration that this binary has.
pub fn newest_migration() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

async fn run(pool: &PgPool) -> Result<(), MigrateError> {
    // A connection of its own: its settings and the advisory lock must not stay behind in the pool.
    let mut db = pool.acquire().await?.detach();
    db.execute("SET lock_timeout = '2s'").await?;
    let done = MIGRATIONS.run_direct(None, &mut db, false).await;
    let _ = db.close().await;
    done
}

fn is_lock_timeout(error: &MigrateError) -> bool {
    let (MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)) = error else { return false };
    source.as_database_error().and_then(sqlx::error::DatabaseError::code) == Some(Cow::Borrowed("55P03"))
}
