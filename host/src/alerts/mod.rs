//! What a person should know, once.
//!
//! Owns: the rows of `alerts`: raised where something happened, in that transaction, and counted when it happens again, or fired
//! by a rule; what people say about them; and what the rules of the configuration make of a look.
//! Refuses: secrets and payloads; an alert names a job, it does not quote it.
//! Invariant: at most one alert of a kind and subject is not resolved. What becomes of an alert is written down with who did it.
//! Tables: alerts, alert_transitions, alert_conditions.

mod judge;
mod rates;
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub use self::{
    judge::{Firing, Lasting, Look, Verdict, judge},
    rates::Rates,
};
pub use crate::config::Severity;
use crate::ids::AlertId;

/// About the mails that tell of alerts: by mail it would be told for ever.
pub const UNSENT: &str = "alert-mail";

/// Alerts about jobs whose end makes a mail of its own, in the transaction that raises them.
const MAILED: [&str; 3] = ["unknown-outcome", "host-lost", "invalid-job"];

/// Whether an alert of this kind, which no rule fired, is told by mail: of some the first time was another mail, and only what
/// comes after is told by this one.
pub fn is_mailed(kind: &str, told_before: bool) -> bool {
    kind != UNSENT && (told_before || !MAILED.contains(&kind))
}

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

/// As people see it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Alert)]
pub struct Raised {
    pub id: AlertId,
    pub kind: String,
    pub subject: String,
    /// `None`: raised where it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub severity: String,
    pub message: String,
    pub detail: serde_json::Value,
    pub state: String,
    pub count: i64,
    /// What the rule measured last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    /// Of its state or silence, and by whom.
    pub changed_at: DateTime<Utc>,
    pub changed_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silenced_until: Option<DateTime<Utc>>,
}

/// What became of an alert.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    pub at: DateTime<Utc>,
    /// A state, or `silenced`.
    pub state: String,
    pub by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// Raises alerts in the caller's transaction; one that is open already is counted.
pub async fn raise(db: &mut PgConnection, alerts: &[Alert]) -> sqlx::Result<()> {
    let mut alerts: Vec<_> = alerts.iter().collect();
    // One order of locks for all.
    alerts.sort_by(|a, b| (a.kind, &a.subject).cmp(&(b.kind, &b.subject)));
    for alert in alerts {
        sqlx::query!(
            r#"
            INSERT INTO alerts AS a (kind, subject, tenant, severity, message, detail, silenced_until)
            -- What somebody silenced stays so when it comes again.
            SELECT $1, $2, $3, $4, $5, $6,
                   (SELECT max(p.silenced_until) FROM alerts p WHERE p.kind = $1 AND p.subject = $2 AND p.silenced_until > now())
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
        r#"
        UPDATE alerts SET state = 'resolved', changed_at = now(), changed_by = 'usher', tell_at = NULL
        WHERE kind = $1 AND subject = $2 AND state <> 'resolved'
        "#,
        kind,
        subject,
    )
    .execute(db)
    .await?;
    Ok(())
}
