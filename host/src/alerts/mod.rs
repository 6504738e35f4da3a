//! What a person should know, once.
//!
//! Owns: the rows of `alerts`: raised where something happened, in that transaction, and counted when it happens again.
//! Refuses: secrets and payloads; an alert names a job, it does not quote it.
//! Invariant: at most one alert of a kind and subject is not resolved.
//! Tables: alerts.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Something to be known.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub kind: &'static str,
    /// What it is about: repeats of the same are counted.
    pub subject: String,
    /// `None`: about the host as a whole.
    pub tenant: Option<String>,
    pub severity: Severity,
    pub message: String,
    pub detail: serde_json::Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Critical,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// As people see it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Alert)]
pub struct Raised {
    pub id: Uuid,
    pub kind: String,
    pub subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub severity: String,
    pub message: String,
    pub detail: serde_json::Value,
    pub state: String,
    pub count: i64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// Raises alerts in the caller's transaction; one that is open already is counted.
pub async fn raise(db: &mut PgConnection, alerts: &[Alert]) -> sqlx::Result<()> {
    for alert in alerts {
        sqlx::query!(
            r#"
            INSERT INTO alerts AS a (kind, subject, tenant, severity, message, detail) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (kind, subject) WHERE state <> 'resolved'
            DO UPDATE SET count = a.count + 1, last_at = now(), message = excluded.message, detail = excluded.detail
            "#,
            alert.kind,
            alert.subject,
            alert.tenant,
            alert.severity.as_str(),
            alert.message,
            alert.detail,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// What it was about is settled.
pub async fn resolve(db: &mut PgConnection, kind: &str, subject: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE alerts SET state = 'resolved' WHERE kind = $1 AND subject = $2 AND state <> 'resolved'",
        kind,
        subject,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Newest first; `tenant` restricts to its own.
pub async fn list(
    db: &mut PgConnection,
    tenant: Option<&str>,
    state: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Raised>> {
    sqlx::query_as!(
        Raised,
        r#"
        SELECT id, kind, subject, tenant, severity, message, detail, state, count, first_at, last_at
        FROM alerts
        WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR state = $2)
        ORDER BY last_at DESC, id
        LIMIT $3
        "#,
        tenant,
        state,
        limit,
    )
    .fetch_all(db)
    .await
}
