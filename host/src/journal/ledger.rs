use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

/// What finance needs to know of an effect that moved money, or was to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub profile: String,
    /// The connected account it was made on.
    pub account: Option<String>,
    pub kind: &'static str,
    pub provider_id: String,
    /// In the currency's minor unit.
    pub amount: i64,
    pub currency: String,
    /// The provider's word.
    pub status: String,
}

/// How an answer became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Answer,
    Asked,
    Person,
}

impl Source {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Asked => "asked",
            Self::Person => "person",
        }
    }
}

/// A line as it is read.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    pub at: DateTime<Utc>,
    pub tenant: String,
    pub job_id: Uuid,
    pub seq: i32,
    pub effect_id: Uuid,
    pub provider: String,
    pub profile: String,
    pub account: Option<String>,
    pub kind: String,
    pub provider_id: String,
    pub amount: i64,
    pub currency: String,
    pub status: String,
    pub source: String,
}

/// The lines of these effects, whenever they were written.
pub async fn of_effects(db: &mut PgConnection, effects: &[Uuid]) -> sqlx::Result<Vec<Written>> {
    sqlx::query_as!(
        Written,
        r#"
        SELECT at, tenant, job_id, seq, effect_id, provider, profile, account, kind, provider_id, amount, currency, status,
               source
        FROM ledger WHERE effect_id = ANY ($1) ORDER BY at, effect_id
        "#,
        effects,
    )
    .fetch_all(db)
    .await
}

/// All lines of one provider written in `[from, to)`, oldest first.
pub async fn between(
    db: &mut PgConnection,
    provider: &str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> sqlx::Result<Vec<Written>> {
    sqlx::query_as!(
        Written,
        r#"
        SELECT at, tenant, job_id, seq, effect_id, provider, profile, account, kind, provider_id, amount, currency, status,
               source
        FROM ledger WHERE provider = $1 AND at >= $2 AND at < $3 ORDER BY at, effect_id
        "#,
        provider,
        from,
        to,
    )
    .fetch_all(db)
    .await
}
