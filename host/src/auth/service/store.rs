use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::NEWS;
use crate::ids::KeyId;

/// A key as people see it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceKey {
    pub id: KeyId,
    pub name: String,
    pub role: String,
    /// `None`: all, here and below.
    pub tenants: Option<Vec<String>>,
    pub job_types: Option<Vec<String>>,
    /// Until when the secret before the current one is good, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
    /// To the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    #[serde(skip)]
    pub generation: i32,
}

#[derive(Clone, Debug)]
pub struct NewServiceKey {
    pub name: String,
    pub role: &'static str,
    pub tenants: Option<Vec<String>>,
    pub job_types: Option<Vec<String>>,
}

pub async fn create(db: &mut PgConnection, new: &NewServiceKey, by: &str) -> sqlx::Result<ServiceKey> {
    sqlx::query_as!(
        ServiceKey,
        r#"
        INSERT INTO service_keys (name, role, tenants, job_types, created_by) VALUES ($1, $2, $3, $4, $5)
        RETURNING id AS "id: KeyId", name, role, tenants, job_types, previous_until, created_at, created_by, revoked_at,
                  revoked_by, last_used_at, generation
        "#,
        new.name,
        new.role,
        new.tenants.as_deref() as Option<&[String]>,
        new.job_types.as_deref() as Option<&[String]>,
        by,
    )
    .fetch_one(db)
    .await
}

pub async fn get(db: &mut PgConnection, id: KeyId) -> sqlx::Result<Option<ServiceKey>> {
    sqlx::query_as!(
        ServiceKey,
        r#"
        SELECT id AS "id: KeyId", name, role, tenants, job_types, previous_until, created_at, created_by, revoked_at,
               revoked_by, last_used_at, generation
        FROM service_keys WHERE id = $1
        "#,
        id.0,
    )
    .fetch_optional(db)
    .await
}

/// In order of their ids, from the one after `after` on; the revoked ones, too.
pub async fn list(db: &mut PgConnection, after: Option<KeyId>, limit: i64) -> sqlx::Result<Vec<ServiceKey>> {
    sqlx::query_as!(
        ServiceKey,
        r#"
        SELECT id AS "id: KeyId", name, role, tenants, job_types, previous_until, created_at, created_by, revoked_at,
               revoked_by, last_used_at, generation
        FROM service_keys WHERE ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2
        "#,
        after.map(|id| id.0),
        limit,
    )
    .fetch_all(db)
    .await
}

/// The next generation's secret is good from now on, the current one's for `overlap`, the one before no more. `None`: there is
/// no such key, or it is revoked.
pub async fn rotate(db: &mut PgConnection, id: KeyId, overlap: Duration) -> sqlx::Result<Option<(i32, DateTime<Utc>)>> {
    let row = sqlx::query!(
        r#"
        UPDATE service_keys SET generation = generation + 1, previous_until = now() + make_interval(secs => $2)
        WHERE id = $1 AND revoked_at IS NULL
        RETURNING generation, previous_until AS "previous_until!"
        "#,
        id.0,
        overlap.as_secs_f64(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.generation, row.previous_until)))
}

/// False: there is no such key, or it was revoked before.
pub async fn revoke(db: &mut PgConnection, id: KeyId, by: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE service_keys SET revoked_at = now(), revoked_by = $2, previous_until = NULL
         WHERE id = $1 AND revoked_at IS NULL",
        id.0,
        by,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Tells all nodes, in the transaction that changed a key.
pub async fn tell(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("UPDATE key_news SET version = version + 1").execute(&mut *db).await?;
    sqlx::query!("SELECT pg_notify($1, '')", NEWS).execute(db).await?;
    Ok(())
}

/// A key that is good, as nodes know it.
#[derive(Debug)]
pub(super) struct Live {
    pub id: KeyId,
    pub role: String,
    pub tenants: Option<Vec<String>>,
    pub job_types: Option<Vec<String>>,
    pub generation: i32,
    /// Seconds for which the secret before is good, too.
    pub previous_for: Option<f64>,
}

/// All of them, and the version that they are at least of.
pub(super) async fn live(db: &mut PgConnection) -> sqlx::Result<(i64, Vec<Live>)> {
    // First: what changes in between is seen here already, and the next look costs nothing but itself.
    let version = sqlx::query_scalar!("SELECT version FROM key_news").fetch_one(&mut *db).await?;
    let keys = sqlx::query_as!(
        Live,
        r#"
        SELECT id AS "id: KeyId", role, tenants, job_types, generation,
               CASE WHEN previous_until > now() THEN extract(epoch FROM previous_until - now())::float8 END
               AS previous_for
        FROM service_keys WHERE revoked_at IS NULL
        "#
    )
    .fetch_all(db)
    .await?;
    Ok((version, keys))
}

/// Nonces that were never seen before are returned, and are seen now.
pub(super) async fn spend(
    db: &mut PgConnection,
    keys: &[Uuid],
    nonces: &[String],
) -> sqlx::Result<Vec<(Uuid, String)>> {
    let rows = sqlx::query!(
        r#"
        INSERT INTO nonces (key_id, nonce)
        SELECT u.key_id, u.nonce FROM unnest($1::uuid[], $2::text[]) AS u (key_id, nonce)
        -- One lock order for all nodes.
        ORDER BY u.key_id, u.nonce COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING key_id, nonce
        "#,
        keys,
        nonces,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key_id, row.nonce)).collect())
}

/// Lets go at most `most` nonces that no signature with them could be good any more. Returns how many.
pub(super) async fn forget(db: &mut PgConnection, window: Duration, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        DELETE FROM nonces WHERE (key_id, nonce) IN (
            SELECT key_id, nonce FROM nonces WHERE seen_at < now() - make_interval(secs => $1)
            ORDER BY seen_at LIMIT $2
        )
        "#,
        window.as_secs_f64(),
        most,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Once a minute is often enough.
pub(super) async fn used(db: &mut PgConnection, id: KeyId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE service_keys SET last_used_at = now()
        WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
        "#,
        id.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
