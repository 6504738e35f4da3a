//! All SQL over releases, by duty.

mod activate;
mod listing;
mod retire;
mod standing;
mod usage;
mod verified;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub use self::{
    activate::{
        Activation, Owed, Reason, Served, activate, before, check_types, forget_quarantine, last_good, lock_plugin,
        newest, owe, owed, quarantine, quits, serve_at_once, serves_since, stop_serving, take_effect, take_types,
        wait_anew, withdraw,
    },
    listing::{Listed, Node, Past, PastPlace, history, listing, nodes},
    retire::{
        Retirement, begin_retirement, delete, end_retirement, hold_type, hold_types, lock_release, lock_types,
        retirements, retiring, types_of,
    },
    standing::{Dropped, Standing, dropped, quarantined, reject, rejection, report, standing, waiting},
    usage::{Used, add_usage, clear_usage, usage},
    verified::{has_served, is_cleared, verified},
};
use super::{Manifest, Needs, Stored};
use crate::ids::Digest;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{plugin} {version} was published before with other bytes ({digest}); give it a new version")]
    VersionTaken { plugin: String, version: String, digest: Digest },
    #[error("the job type \"{job_type}\" belongs to the plugin \"{owner}\"")]
    TypeTaken { job_type: String, owner: String },
    #[error(
        "{plugin} {version} is in quarantine, since most of its last jobs trapped; publish a new version, or activate it by name"
    )]
    Quarantined { plugin: String, version: String },
    #[error("the plugin \"{plugin}\" is being retired; activate a release of it to call that off")]
    Retiring { plugin: String },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Stores a release; the same bytes again are no change. True: it was not there, or its bytes were deleted.
pub async fn put(
    db: &mut PgConnection,
    release: &Stored,
    wasm: &[u8],
    signed_by: Option<&str>,
    by: &str,
) -> Result<bool, StoreError> {
    let Stored { digest, manifest, needs } = release;
    let done = sqlx::query!(
        r#"
        INSERT INTO releases AS r (digest, plugin, version, manifest, wasm, needs, signed_by, published_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (plugin, version) DO UPDATE
        SET wasm = excluded.wasm, signed_by = excluded.signed_by, deleted_at = NULL, deleted_by = NULL,
            verified_at = NULL, published_at = now(), published_by = excluded.published_by
        WHERE r.digest = excluded.digest AND r.deleted_at IS NOT NULL
        "#,
        digest.as_bytes(),
        manifest.name,
        manifest.version,
        serde_json::json!(manifest),
        wasm,
        serde_json::json!(needs),
        signed_by,
        by,
    )
    .execute(&mut *db)
    .await?;
    let stored = sqlx::query_scalar!(
        "SELECT digest FROM releases WHERE plugin = $1 AND version = $2",
        manifest.name,
        manifest.version
    )
    .fetch_one(db)
    .await?;
    match Digest::from_slice(&stored) {
        Some(stored) if stored == *digest => Ok(done.rows_affected() == 1),
        stored => Err(StoreError::VersionTaken {
            plugin: manifest.name.clone(),
            version: manifest.version.clone(),
            digest: stored.unwrap_or(*digest),
        }),
    }
}

/// One release, whether it serves or not.
pub async fn get(db: &mut PgConnection, digest: Digest) -> sqlx::Result<Option<Stored>> {
    let row = sqlx::query!(
        "SELECT digest, manifest, needs FROM releases WHERE digest = $1 AND deleted_at IS NULL",
        digest.as_bytes()
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| stored(&row.digest, row.manifest, row.needs)).transpose()
}

/// The release of that version, if its bytes are there.
pub async fn by_version(db: &mut PgConnection, plugin: &str, version: &str) -> sqlx::Result<Option<Stored>> {
    let row = sqlx::query!(
        "SELECT digest, manifest, needs FROM releases WHERE plugin = $1 AND version = $2 AND deleted_at IS NULL",
        plugin,
        version,
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| stored(&row.digest, row.manifest, row.needs)).transpose()
}

/// Whether a release is in quarantine. It is not deleted until the end of the transaction. `None`: it is not there.
pub async fn hold(db: &mut PgConnection, digest: Digest) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar!(
        r#"
        SELECT quarantined_at IS NOT NULL AS "quarantined!" FROM releases
        WHERE digest = $1 AND deleted_at IS NULL FOR KEY SHARE
        "#,
        digest.as_bytes()
    )
    .fetch_optional(db)
    .await
}

/// The releases of a plugin that have this very schema for a job type, also those whose bytes were deleted.
pub async fn with_schema(
    db: &mut PgConnection,
    plugin: &str,
    job_type: &str,
    schema: &serde_json::Value,
) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar!(
        r#"
        SELECT digest FROM releases
        WHERE plugin = $1
          AND EXISTS (SELECT FROM jsonb_array_elements(manifest -> 'jobs') AS job
                      WHERE job ->> 'type' = $2 AND job -> 'schema' = $3)
        "#,
        plugin,
        job_type,
        schema,
    )
    .fetch_all(db)
    .await
}

pub async fn wasm(db: &mut PgConnection, digest: Digest) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("SELECT wasm FROM releases WHERE digest = $1 AND deleted_at IS NULL", digest.as_bytes())
        .fetch_optional(db)
        .await
}

fn stored(digest: &[u8], manifest: serde_json::Value, needs: serde_json::Value) -> sqlx::Result<Stored> {
    let decode = |e: serde_json::Error| sqlx::Error::Decode(Box::new(e));
    Ok(Stored {
        digest: Digest::from_slice(digest).ok_or_else(|| sqlx::Error::Decode("releases: digest".into()))?,
        manifest: serde_json::from_value::<Manifest>(manifest).map_err(decode)?,
        needs: serde_json::from_value::<Needs>(needs).map_err(decode)?,
    })
}

/// What was refused, and why.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Where the bytes came from.
    pub source: String,
    pub digest: Option<Digest>,
    pub plugin: Option<String>,
    /// A slug.
    pub reason: String,
    pub detail: String,
    pub refused_at: DateTime<Utc>,
}

/// The newest refusal of a source replaces the one before. No digest: it was not read.
pub async fn refuse(
    db: &mut PgConnection,
    source: &str,
    digest: Option<Digest>,
    plugin: Option<&str>,
    reason: &str,
    detail: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO refusals (source, digest, plugin, reason, detail) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (source) DO UPDATE
        SET digest = excluded.digest, plugin = excluded.plugin, reason = excluded.reason, detail = excluded.detail,
            refused_at = now()
        "#,
        source,
        digest.as_ref().map(Digest::as_bytes),
        plugin,
        reason,
        // Text of the guest's maker; Postgres takes no NUL.
        detail.replace('\0', "\u{fffd}"),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn clear_refusal(db: &mut PgConnection, source: &str) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM refusals WHERE source = $1", source).execute(db).await?;
    Ok(())
}

pub async fn refusals(db: &mut PgConnection) -> sqlx::Result<Vec<Refusal>> {
    let rows = sqlx::query!(
        "SELECT source, digest, plugin, reason, detail, refused_at FROM refusals ORDER BY refused_at DESC"
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Refusal {
            source: row.source,
            digest: row.digest.as_deref().and_then(Digest::from_slice),
            plugin: row.plugin,
            reason: row.reason,
            detail: row.detail,
            refused_at: row.refused_at,
        })
        .collect())
}

/// A job type as submits by SQL must know it.
#[derive(Debug)]
pub struct KnownType {
    pub job_type: String,
    pub queue: String,
    pub tier: crate::ids::Tier,
    pub max_attempts: i32,
    pub expiry_secs: f64,
}

/// Nothing is written where nothing changed, and rows go in one order, since all nodes do this at once.
pub async fn know(db: &mut PgConnection, types: &[KnownType]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        WITH n AS (
            SELECT u.job_type, u.queue, u.tier, u.max_attempts, make_interval(secs => u.secs) AS expiry
            FROM unnest($1::text[], $2::text[], $3::smallint[], $4::int[], $5::float8[])
                 AS u (job_type, queue, tier, max_attempts, secs)
        ), changed AS (
            SELECT n.* FROM n JOIN job_types t USING (job_type)
            WHERE (t.queue, t.tier, t.max_attempts, t.expiry) IS DISTINCT FROM (n.queue, n.tier, n.max_attempts, n.expiry)
            -- Not FOR UPDATE: that would wait for every open transaction that has submitted by SQL.
            ORDER BY job_type FOR NO KEY UPDATE OF t
        )
        UPDATE job_types t
        SET queue = c.queue, tier = c.tier, max_attempts = c.max_attempts, expiry = c.expiry
        FROM changed c WHERE t.job_type = c.job_type
        "#,
        &types.iter().map(|t| t.job_type.clone()).collect::<Vec<_>>(),
        &types.iter().map(|t| t.queue.clone()).collect::<Vec<_>>(),
        &types.iter().map(|t| t.tier.as_i16()).collect::<Vec<_>>(),
        &types.iter().map(|t| t.max_attempts).collect::<Vec<_>>(),
        &types.iter().map(|t| t.expiry_secs).collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}
