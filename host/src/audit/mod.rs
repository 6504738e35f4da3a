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

/// What is asked for; `None`: whatever it is.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    pub subject: Option<&'a str>,
    pub action: Option<&'a str>,
    pub target: Option<&'a str>,
    pub tenant: Option<&'a str>,
    pub since: Option<DateTime<Utc>>,
    /// Not at this time any more.
    pub until: Option<DateTime<Utc>>,
    /// Older than this entry.
    pub before: Option<i64>,
}

/// Newest first.
pub async fn list(db: &mut PgConnection, filter: &Filter<'_>, limit: i64) -> sqlx::Result<Vec<Entry>> {
    sqlx::query_as!(
        Entry,
        r#"
        SELECT id, at, subject, tenant, action, target, detail FROM audit_log
        WHERE ($1::text IS NULL OR subject = $1) AND ($2::text IS NULL OR action = $2)
          AND ($3::text IS NULL OR target = $3) AND ($4::text IS NULL OR tenant = $4)
          AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)
          AND ($7::bigint IS NULL OR id < $7)
        ORDER BY id DESC LIMIT $8
        "#,
        filter.subject,
        filter.action,
        filter.target,
        filter.tenant,
        filter.since,
        filter.until,
        filter.before,
        limit,
    )
    .fetch_all(db)
    .await
}
