use sqlx::error::DatabaseError;

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
