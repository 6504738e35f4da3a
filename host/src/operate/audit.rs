use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

use super::{OperateError, Operator};

/// What somebody did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub action: String,
    pub target: String,
    pub detail: Value,
}

/// In the transaction that does it.
pub(super) async fn write(
    db: &mut PgConnection,
    by: &str,
    tenant: Option<&str>,
    action: &str,
    target: &str,
    detail: Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO audit_log (subject, tenant, action, target, detail) VALUES ($1, $2, $3, $4, $5)",
        by,
        tenant,
        action,
        target,
        detail,
    )
    .execute(db)
    .await?;
    Ok(())
}

impl Operator {
    /// Newest first.
    pub async fn audit(
        &self,
        target: Option<&str>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Entry>, OperateError> {
        let mut db = self.pool.read().await?;
        Ok(sqlx::query_as!(
            Entry,
            r#"
            SELECT id, at, subject, tenant, action, target, detail FROM audit_log
            WHERE ($1::text IS NULL OR target = $1) AND ($2::bigint IS NULL OR id < $2)
            ORDER BY id DESC LIMIT $3
            "#,
            target,
            before,
            limit,
        )
        .fetch_all(&mut *db)
        .await?)
    }
}
