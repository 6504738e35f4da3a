//! stub: written by the lead
use sqlx::PgConnection;

use super::{JobView, ListFilter};
use crate::ids::JobId;

/// One job, live or archived; `tenant` restricts to its own.
pub async fn get(_db: &mut PgConnection, _id: JobId, _tenant: Option<&str>) -> sqlx::Result<Option<JobView>> {
    Ok(None)
}

pub async fn list(_db: &mut PgConnection, _filter: &ListFilter) -> sqlx::Result<Vec<JobView>> {
    Ok(Vec::new())
}
