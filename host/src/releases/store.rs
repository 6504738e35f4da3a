use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Manifest, Needs, Stored};
use crate::ids::Digest;

/// Channel: another release was activated.
pub const CHANNEL: &str = "usher_activation";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{plugin} {version} was published before with other bytes ({digest}); give it a new version")]
    VersionTaken { plugin: String, version: String, digest: Digest },
    #[error("the job type \"{job_type}\" belongs to the plugin \"{owner}\"")]
    TypeTaken { job_type: String, owner: String },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Stores a release; the same bytes again are no change.
pub async fn put(db: &mut PgConnection, release: &Stored, wasm: &[u8], by: &str) -> Result<(), StoreError> {
    let Stored { digest, manifest, needs } = release;
    sqlx::query!(
        r#"
        INSERT INTO releases (digest, plugin, version, manifest, wasm, needs, published_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING
        "#,
        digest.as_bytes(),
        manifest.name,
        manifest.version,
        serde_json::json!(manifest),
        wasm,
        serde_json::json!(needs),
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
        Some(stored) if stored == *digest => Ok(()),
        stored => Err(StoreError::VersionTaken {
            plugin: manifest.name.clone(),
            version: manifest.version.clone(),
            digest: stored.unwrap_or(*digest),
        }),
    }
}

/// Makes a stored release the one that serves its plugin. False: it already does. The caller commits.
pub async fn activate(db: &mut PgConnection, release: &Stored, by: &str) -> Result<bool, StoreError> {
    let manifest = &release.manifest;
    // Two publishers of one plugin take turns, so that generations tell an order.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('usher_plugin:' || $1))", manifest.name)
        .execute(&mut *db)
        .await?;
    let types: Vec<_> = manifest.jobs.iter().map(|job| job.job_type.clone()).collect();
    sqlx::query!(
        "INSERT INTO job_types (job_type, plugin) SELECT t, $2 FROM unnest($1::text[]) AS t ORDER BY t ON CONFLICT DO NOTHING",
        &types,
        manifest.name,
    )
    .execute(&mut *db)
    .await?;
    let foreign = sqlx::query!(
        "SELECT job_type, plugin FROM job_types WHERE job_type = ANY ($1) AND plugin <> $2 ORDER BY job_type LIMIT 1",
        &types,
        manifest.name,
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(row) = foreign {
        return Err(StoreError::TypeTaken { job_type: row.job_type, owner: row.plugin });
    }
    let activated = sqlx::query!(
        r#"
        INSERT INTO activations (plugin, digest, activated_by)
        SELECT $1, $2, $3
        WHERE $2 IS DISTINCT FROM
              (SELECT digest FROM activations WHERE plugin = $1 ORDER BY generation DESC LIMIT 1)
        "#,
        manifest.name,
        release.digest.as_bytes(),
        by,
    )
    .execute(&mut *db)
    .await?;
    if activated.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!("SELECT pg_notify($1, '')", CHANNEL).execute(db).await?;
    Ok(true)
}

/// What serves now, by plugin.
pub async fn active(db: &mut PgConnection) -> sqlx::Result<Vec<Stored>> {
    let rows = sqlx::query!(
        r#"
        SELECT r.digest, r.manifest, r.needs
        FROM (SELECT DISTINCT ON (plugin) plugin, digest FROM activations ORDER BY plugin, generation DESC) a
        JOIN releases r ON r.digest = a.digest
        ORDER BY a.plugin
        "#
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| stored(&row.digest, row.manifest, row.needs)).collect()
}

/// One release, whether it serves or not.
pub async fn get(db: &mut PgConnection, digest: Digest) -> sqlx::Result<Option<Stored>> {
    let row = sqlx::query!("SELECT digest, manifest, needs FROM releases WHERE digest = $1", digest.as_bytes())
        .fetch_optional(db)
        .await?;
    row.map(|row| stored(&row.digest, row.manifest, row.needs)).transpose()
}

pub async fn wasm(db: &mut PgConnection, digest: Digest) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("SELECT wasm FROM releases WHERE digest = $1", digest.as_bytes()).fetch_optional(db).await
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

/// The newest refusal of a source replaces the one before.
pub async fn refuse(
    db: &mut PgConnection,
    source: &str,
    digest: Digest,
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
        digest.as_bytes(),
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

/// An active release, for people.
#[derive(Clone, Debug)]
pub struct Listed {
    pub plugin: String,
    pub version: String,
    pub digest: Digest,
    pub generation: i64,
    pub job_types: Vec<String>,
    pub activated_at: DateTime<Utc>,
}

pub async fn listing(db: &mut PgConnection) -> sqlx::Result<Vec<Listed>> {
    let rows = sqlx::query!(
        r#"
        SELECT a.plugin AS "plugin!", a.generation AS "generation!", a.activated_at AS "activated_at!", r.digest, r.version,
               ARRAY(SELECT job ->> 'type' FROM jsonb_array_elements(r.manifest -> 'jobs') AS job) AS "job_types!: Vec<String>"
        FROM (SELECT DISTINCT ON (plugin) plugin, generation, digest, activated_at FROM activations
              ORDER BY plugin, generation DESC) a
        JOIN releases r ON r.digest = a.digest
        ORDER BY a.plugin
        "#
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Listed {
                plugin: row.plugin,
                version: row.version,
                digest: Digest::from_slice(&row.digest)
                    .ok_or_else(|| sqlx::Error::Decode("releases: digest".into()))?,
                generation: row.generation,
                job_types: row.job_types,
                activated_at: row.activated_at,
            })
        })
        .collect()
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
            ORDER BY job_type FOR UPDATE OF t
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
