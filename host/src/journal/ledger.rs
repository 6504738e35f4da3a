use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{EffectId, JobId};

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

/// Whether another effect of the job has a line of this kind and id.
pub async fn is_of_another(
    db: &mut PgConnection,
    job: JobId,
    effect: EffectId,
    kind: &str,
    provider_id: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT FROM ledger l
            -- By its key: the job's effects are there for as long as anything of it goes on.
            WHERE l.effect_id IN (SELECT e.effect_id FROM effects e WHERE e.job_id = $1 AND e.effect_id <> $2)
              AND l.kind = $3 AND l.provider_id = $4
        ) AS "there!"
        "#,
        job.0,
        effect.0,
        kind,
        provider_id,
    )
    .fetch_one(db)
    .await
}

/// Whose these objects are, that these profiles made on this account. `None`: no line names them, or lines of several tenants.
pub async fn owner(
    db: &mut PgConnection,
    provider: &str,
    profiles: &[String],
    account: Option<&str>,
    objects: &[String],
) -> sqlx::Result<Option<String>> {
    let mut tenants = sqlx::query_scalar!(
        r#"
        SELECT DISTINCT tenant AS "tenant!" FROM ledger
        WHERE provider_id = ANY ($4) AND provider = $1 AND profile = ANY ($2) AND account IS NOT DISTINCT FROM $3
        LIMIT 2
        "#,
        provider,
        profiles,
        account,
        objects,
    )
    .fetch_all(db)
    .await?;
    let tenant = tenants.pop();
    Ok(tenant.filter(|_| tenants.is_empty()))
}
