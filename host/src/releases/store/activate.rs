use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{StoreError, hold};
use crate::{
    ids::{Digest, NodeId},
    releases::Stored,
};

/// Why another release is to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Publish,
    Activate,
    Rollback,
    Quarantine,
    Retire,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Activate => "activate",
            Self::Rollback => "rollback",
            Self::Quarantine => "quarantine",
            Self::Retire => "retire",
        }
    }
}

/// An activation that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activation {
    pub generation: i64,
    /// False: it waits for the live nodes.
    pub effective: bool,
}

/// Who changes what serves a plugin takes turns, so that generations tell an order. Until the end of the transaction.
pub async fn lock_plugin(db: &mut PgConnection, plugin: &str) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('usher_plugin:' || $1))", plugin).execute(db).await?;
    Ok(())
}

/// The job types of a release become its plugin's, unless another plugin has one.
pub async fn take_types(db: &mut PgConnection, release: &Stored) -> Result<(), StoreError> {
    let manifest = &release.manifest;
    let types: Vec<_> = manifest.jobs.iter().map(|job| job.job_type.clone()).collect();
    sqlx::query!(
        "INSERT INTO job_types (job_type, plugin) SELECT t, $2 FROM unnest($1::text[]) AS t ORDER BY t ON CONFLICT DO NOTHING",
        &types,
        manifest.name,
    )
    .execute(&mut *db)
    .await?;
    check_types(db, release).await
}

/// Refuses a release one of whose job types is another plugin's.
pub async fn check_types(db: &mut PgConnection, release: &Stored) -> Result<(), StoreError> {
    let manifest = &release.manifest;
    let types: Vec<_> = manifest.jobs.iter().map(|job| job.job_type.clone()).collect();
    let foreign = sqlx::query!(
        "SELECT job_type, plugin FROM job_types WHERE job_type = ANY ($1) AND plugin <> $2 ORDER BY job_type LIMIT 1",
        &types,
        manifest.name,
    )
    .fetch_optional(&mut *db)
    .await?;
    match foreign {
        Some(row) => Err(StoreError::TypeTaken { job_type: row.job_type, owner: row.plugin }),
        None => Ok(()),
    }
}

/// Makes a stored release the one that serves its plugin, as soon as the live nodes have it ready; `node` has. `None`: it
/// serves already, or is about to. The caller has locked the plugin, and commits.
pub async fn activate(
    db: &mut PgConnection,
    release: &Stored,
    reason: Reason,
    node: NodeId,
    by: &str,
) -> Result<Option<Activation>, StoreError> {
    let manifest = &release.manifest;
    // None: it was deleted a moment ago.
    if hold(db, release.digest).await?.ok_or(sqlx::Error::RowNotFound)? {
        return Err(StoreError::Quarantined { plugin: manifest.name.clone(), version: manifest.version.clone() });
    }
    take_types(db, release).await?;
    let activated = sqlx::query!(
        r#"
        INSERT INTO activations (plugin, digest, reason, activated_by, effective_at)
        SELECT $1, $2, $3, $4,
               CASE WHEN NOT EXISTS (SELECT FROM nodes n WHERE n.id <> $5 AND NOT n.leaving AND NOT $2 = ANY (n.ready))
                    THEN now() END
        WHERE $2 IS DISTINCT FROM
              (SELECT digest FROM activations WHERE plugin = $1 AND withdrawn_at IS NULL ORDER BY generation DESC LIMIT 1)
        RETURNING generation, effective_at IS NOT NULL AS "effective!"
        "#,
        manifest.name,
        release.digest.as_bytes(),
        reason.as_str(),
        by,
        node.0,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = activated else { return Ok(None) };
    // What waited until now never takes effect. Were its row left as it is, it would seem to be about to serve once this
    // one is withdrawn, and nobody could activate it.
    sqlx::query!(
        r#"
        UPDATE activations SET withdrawn_at = now(), withdrawn = 'another activation took its place'
        WHERE plugin = $1 AND generation < $2 AND effective_at IS NULL AND withdrawn_at IS NULL
        "#,
        manifest.name,
        row.generation,
    )
    .execute(db)
    .await?;
    Ok(Some(Activation { generation: row.generation, effective: row.effective }))
}

/// From now on nothing serves the plugin.
pub async fn stop_serving(db: &mut PgConnection, plugin: &str, reason: Reason, by: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "INSERT INTO activations (plugin, reason, activated_by, effective_at) VALUES ($1, $2, $3, now()) RETURNING generation",
        plugin,
        reason.as_str(),
        by,
    )
    .fetch_one(db)
    .await
}

/// What stands in the rows for a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The newest activation in effect; `None` inside: nothing serves.
    pub serving: Option<(i64, Option<Digest>)>,
    /// A newer one that waits for the nodes.
    pub waiting: Option<(i64, Digest)>,
}

/// `None`: nobody ever published such a plugin.
pub async fn newest(db: &mut PgConnection, plugin: &str) -> sqlx::Result<Option<Served>> {
    let known = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM releases WHERE plugin = $1) AS "is!""#, plugin)
        .fetch_one(&mut *db)
        .await?;
    if !known {
        return Ok(None);
    }
    let serving = sqlx::query!(
        "SELECT generation, digest FROM activations WHERE plugin = $1 AND effective_at IS NOT NULL ORDER BY generation DESC LIMIT 1",
        plugin
    )
    .fetch_optional(&mut *db)
    .await?;
    let last = sqlx::query!(
        r#"
        SELECT generation, digest, effective_at IS NULL AND withdrawn_at IS NULL AS "waits!"
        FROM activations WHERE plugin = $1 ORDER BY generation DESC LIMIT 1
        "#,
        plugin
    )
    .fetch_optional(db)
    .await?;
    let digest = |bytes: Option<Vec<u8>>| bytes.as_deref().and_then(Digest::from_slice);
    Ok(Some(Served {
        serving: serving.map(|row| (row.generation, digest(row.digest))),
        waiting: last.filter(|row| row.waits).and_then(|row| Some((row.generation, digest(row.digest)?))),
    }))
}

/// The release that served before `current` was shipped, and that could serve again. Not simply the one that served last: a
/// rollback that is asked for twice must not lead back to what the first one left.
pub async fn before(db: &mut PgConnection, plugin: &str, current: Option<Digest>) -> sqlx::Result<Option<Digest>> {
    let found = sqlx::query_scalar!(
        r#"
        SELECT r.digest FROM activations a JOIN releases r ON r.digest = a.digest
        WHERE a.plugin = $1 AND a.effective_at IS NOT NULL AND r.digest IS DISTINCT FROM $2
          AND r.quarantined_at IS NULL AND r.deleted_at IS NULL
          AND NOT EXISTS (SELECT FROM rejections x WHERE x.digest = r.digest)
          AND a.generation < coalesce(
              (SELECT max(s.generation) FROM activations s
               WHERE s.plugin = $1 AND s.digest = $2 AND s.effective_at IS NOT NULL AND s.reason IN ('publish', 'activate')),
              9223372036854775807)
        ORDER BY a.generation DESC LIMIT 1
        "#,
        plugin,
        current.as_ref().map(Digest::as_bytes),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.as_deref().and_then(Digest::from_slice))
}

/// Where a release goes into quarantine: the last one that served before it ever did, and is good as far as anybody knows.
/// Nobody is asked, so it is none that somebody backed out of.
pub async fn last_good(db: &mut PgConnection, plugin: &str, bad: Digest) -> sqlx::Result<Option<Digest>> {
    let found = sqlx::query_scalar!(
        r#"
        WITH served AS (
            SELECT a.digest, min(a.generation) AS first, max(a.generation) AS last FROM activations a
            WHERE a.plugin = $1 AND a.effective_at IS NOT NULL AND a.digest IS NOT NULL
            GROUP BY a.digest
        )
        SELECT r.digest AS "digest!" FROM served s JOIN releases r ON r.digest = s.digest
        -- The last time that it served before the bad one began to.
        CROSS JOIN LATERAL (
            SELECT max(a.generation) AS generation FROM activations a
            WHERE a.plugin = $1 AND a.digest = s.digest AND a.effective_at IS NOT NULL
              AND a.generation < (SELECT b.first FROM served b WHERE b.digest = $2)
        ) AS before
        -- What took its place the last time that it served.
        LEFT JOIN LATERAL (
            SELECT a.digest, a.reason FROM activations a
            WHERE a.plugin = $1 AND a.effective_at IS NOT NULL AND a.generation > s.last
            ORDER BY a.generation LIMIT 1
        ) AS next ON true
        LEFT JOIN served n ON n.digest = next.digest
        LEFT JOIN releases o ON o.digest = next.digest
        WHERE r.digest <> $2 AND before.generation IS NOT NULL
          AND r.quarantined_at IS NULL AND r.deleted_at IS NULL
          AND NOT EXISTS (SELECT FROM rejections x WHERE x.digest = r.digest)
          -- Older ones, by when they served first or by when they came here: that was a way back.
          AND (next.reason IN ('rollback', 'quarantine') OR n.first < s.first OR o.published_at < r.published_at) IS NOT TRUE
        ORDER BY before.generation DESC LIMIT 1
        "#,
        plugin,
        bad.as_bytes(),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.as_deref().and_then(Digest::from_slice))
}

/// An activation that waits will not take effect. False: it does not wait.
pub async fn withdraw(db: &mut PgConnection, generation: i64, why: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        UPDATE activations SET withdrawn_at = now(), withdrawn = $2
        WHERE generation = $1 AND effective_at IS NULL AND withdrawn_at IS NULL
        "#,
        generation,
        why.replace('\0', "\u{fffd}"),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// An activation that was withdrawn waits again, above what was activated meanwhile. It has waited since it was asked for.
pub async fn wait_anew(db: &mut PgConnection, generation: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO activations (plugin, digest, reason, activated_by, activated_at, effective_at)
        SELECT plugin, digest, reason, activated_by, activated_at, NULL FROM activations WHERE generation = $1
        "#,
        generation,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An activation takes effect, ready or not.
pub async fn serve_at_once(db: &mut PgConnection, generation: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE activations SET effective_at = now() WHERE generation = $1 AND effective_at IS NULL AND withdrawn_at IS NULL",
        generation,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Activations that all live nodes are ready for take effect, and those that waited for `patience`. Returns how many.
pub async fn take_effect(db: &mut PgConnection, patience: Duration) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT usher_take_effect($1) AS "done!""#, patience.as_secs_f64()).fetch_one(db).await
}

/// No node runs this release any more. False: somebody said so before.
pub async fn quarantine(db: &mut PgConnection, digest: Digest, counted: &serde_json::Value) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE releases SET quarantined_at = now(), quarantine = $2 WHERE digest = $1 AND quarantined_at IS NULL",
        digest.as_bytes(),
        counted,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A person wants it to run all the same. Whether it was in quarantine.
pub async fn forget_quarantine(db: &mut PgConnection, digest: Digest) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE releases SET quarantined_at = NULL, quarantine = NULL WHERE digest = $1 AND quarantined_at IS NOT NULL",
        digest.as_bytes(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Since when a release serves, or served the last time.
pub async fn serves_since(db: &mut PgConnection, digest: Digest) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("SELECT max(effective_at) FROM activations WHERE digest = $1", digest.as_bytes())
        .fetch_one(db)
        .await
}

/// A release in quarantine that owes its jobs something.
#[derive(Clone, Copy, Debug)]
pub struct Owed {
    pub release: Digest,
    pub since: DateTime<Utc>,
    /// No node runs it any more.
    pub is_late: bool,
}

/// A release burnt attempts since then, which are to be given back.
pub async fn owe(db: &mut PgConnection, release: Digest, since: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO amends (release, since) VALUES ($1, $2)
        ON CONFLICT (release) DO UPDATE SET since = excluded.since, asked_at = now()
        "#,
        release.as_bytes(),
        since,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those that no other node sees to just now, locked. `late`: after which time no node runs one any more.
pub async fn owed(db: &mut PgConnection, late: Duration) -> sqlx::Result<Vec<Owed>> {
    let rows = sqlx::query!(
        r#"
        SELECT release, since, asked_at < now() - make_interval(secs => $1) AS "is_late!" FROM amends
        ORDER BY asked_at FOR UPDATE SKIP LOCKED
        "#,
        late.as_secs_f64(),
    )
    .fetch_all(db)
    .await?;
    let owed = rows.into_iter().filter_map(|row| {
        Some(Owed { release: Digest::from_slice(&row.release)?, since: row.since, is_late: row.is_late })
    });
    Ok(owed.collect())
}

/// Nothing is owed any more.
pub async fn quits(db: &mut PgConnection, release: Digest) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM amends WHERE release = $1", release.as_bytes()).execute(db).await?;
    Ok(())
}
