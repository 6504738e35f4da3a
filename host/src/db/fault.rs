use std::error::Error;

use sqlx::error::DatabaseError;

use super::DbError;

/// What a refused batch calls for, by SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 40*: serialization, deadlock. Nothing was written.
    Again,
    /// 22*, 23*, lock time-out: something about one of the rows. Nothing was written.
    OneOfThem,
    /// It may have been written.
    Away,
}

impl Fault {
    pub fn of(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        match code.as_deref() {
            Some(code) if code.starts_with("40") => Self::Again,
            Some(code) if code.starts_with("22") || code.starts_with("23") || code == LOCK_TIMEOUT => Self::OneOfThem,
            _ => Self::Away,
        }
    }
}

/// Somebody held a row for longer than the statement would wait.
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some(LOCK_TIMEOUT)
}

/// `lock_not_available`.
const LOCK_TIMEOUT: &str = "55P03";

/// An error that says that the database cannot be reached, or does not let us in: nothing is known of what was asked.
pub fn is_away(error: &(dyn Error + 'static)) -> bool {
    use sqlx::Error as Sql;
    let is_lost = |error: &Sql| {
        matches!(error, Sql::Io(_) | Sql::Tls(_) | Sql::Protocol(_) | Sql::PoolTimedOut | Sql::PoolClosed)
    };
    matches!(error.downcast_ref::<DbError>(), Some(DbError::Connect { .. } | DbError::Version(_)))
        || error.downcast_ref::<Sql>().is_some_and(is_lost)
}
