use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A provider that nobody calls for now.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    pub provider: String,
    /// `None`: for everybody.
    pub tenant: Option<String>,
    pub paused_at: DateTime<Utc>,
    pub paused_by: String,
}

/// The fence of every effect looks here, so this binds all nodes with its commit. Returns whether it changed anything.
pub async fn pause(db: &mut PgConnection, provider: &str, tenant: Option<&str>, by: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "INSERT INTO provider_pauses (provider, tenant, paused_by) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        provider,
        tenant.unwrap_or_default(),
        by,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns whether it was paused.
pub async fn resume(db: &mut PgConnection, provider: &str, tenant: Option<&str>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "DELETE FROM provider_pauses WHERE provider = $1 AND tenant = $2",
        provider,
        tenant.unwrap_or_default(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn list(db: &mut PgConnection) -> sqlx::Result<Vec<Pause>> {
    sqlx::query_as!(
        Pause,
        r#"
        SELECT provider, nullif(tenant, '') AS tenant, paused_at, paused_by
        FROM provider_pauses ORDER BY provider, provider_pauses.tenant
        "#,
    )
    .fetch_all(db)
    .await
}

/// Whether this tenant's calls of the provider wait.
pub async fn is_paused(db: &mut PgConnection, provider: &str, tenant: &str) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT true FROM provider_pauses WHERE provider = $1 AND tenant IN ('', $2) LIMIT 1",
        provider,
        tenant,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}
