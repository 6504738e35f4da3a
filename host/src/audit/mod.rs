//! What people did.
//!
//! Owns: the rows of `audit_log`, each written in the transaction that does what it says.
//! Refuses: secrets and payloads; an entry names what it is about.
//! Invariant: append-only, also for us.
//! Tables: audit_log.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

/// What somebody did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
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
pub async fn write(
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

/// Newest first.
pub async fn list(
    db: &mut PgConnection,
    target: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    sqlx::query_as!(
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
    .fetch_all(db)
    .await
}
