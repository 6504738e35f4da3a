use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{JobId, Tier};

/// A key row that a new job wants.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub tenant: &'a str,
    pub job_type: &'a str,
    pub hash: [u8; 32],
    pub job: JobId,
    pub payload_hash: [u8; 32],
}

/// Who holds a key.
#[derive(Clone, Debug)]
pub struct Holder {
    pub hash: [u8; 32],
    pub tenant: String,
    pub job_type: String,
    pub job: JobId,
    pub payload_hash: [u8; 32],
    pub taken_at: DateTime<Utc>,
    /// False: its job ended and its time is over, or nothing happened, or the job is gone. The key may be taken over.
    pub holds: bool,
}

/// Takes those keys that are free; returns (hash, job) of the ones taken. `wanted` must be sorted by (tenant, job type,
/// hash): batches that lock in one order do not deadlock.
pub async fn take(db: &mut PgConnection, tier: Tier, wanted: &[Wanted<'_>]) -> sqlx::Result<Vec<(Vec<u8>, JobId)>> {
    let rows = sqlx::query!(
        r#"
        INSERT INTO idempotency_keys (tier, tenant, job_type, key_hash, job_id, payload_hash)
        SELECT $1, w.tenant, w.job_type, w.hash, w.job, w.payload_hash
        FROM unnest($2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::bytea[])
             WITH ORDINALITY AS w (tenant, job_type, hash, job, payload_hash, n)
        ORDER BY w.n
        ON CONFLICT DO NOTHING
        RETURNING key_hash, job_id
        "#,
        tier.as_i16(),
        &tenants(wanted),
        &types(wanted),
        &hashes(wanted),
        &jobs(wanted),
        &payload_hashes(wanted),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key_hash, JobId(row.job_id))).collect())
}

/// Who holds these keys. A key is held while its job lives, and for its time after the job's end; a job that ended
/// without success holds it only if its journal has an effect that happened or may have.
pub async fn holders(db: &mut PgConnection, tier: Tier, wanted: &[Wanted<'_>]) -> sqlx::Result<Vec<Holder>> {
    let rows = sqlx::query!(
        r#"
        SELECT k.key_hash, k.tenant, k.job_type, k.job_id, k.payload_hash, k.created_at,
               j.id IS NOT NULL OR coalesce(k.expires_at > now(), false)
               OR coalesce(a.finished_at + a.key_ttl_ms * interval '1 millisecond' > now()
                           AND (a.state = 'completed' OR usher_happened(a.journal)), false) AS "holds!"
        FROM unnest($2::text[], $3::text[], $4::bytea[]) AS w (tenant, job_type, hash)
        JOIN idempotency_keys k
             ON k.tier = $1 AND k.tenant = w.tenant AND k.job_type = w.job_type AND k.key_hash = w.hash
        LEFT JOIN jobs j ON j.tier = $1 AND j.id = k.job_id
        -- A job ends after its key was taken: the other days of history are not looked into.
        LEFT JOIN jobs_archive a ON a.id = k.job_id AND a.finished_at >= k.created_at - interval '1 day'
                                    AND a.finished_at <= now() + interval '1 day'
        "#,
        tier.as_i16(),
        &tenants(wanted),
        &types(wanted),
        &hashes(wanted),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let fixed =
                |bytes: Vec<u8>| bytes.try_into().map_err(|_| sqlx::Error::Decode("idempotency_keys: hash".into()));
            Ok(Holder {
                hash: fixed(row.key_hash)?,
                tenant: row.tenant,
                job_type: row.job_type,
                job: JobId(row.job_id),
                payload_hash: fixed(row.payload_hash)?,
                taken_at: row.created_at,
                holds: row.holds,
            })
        })
        .collect()
}

/// Jobs of these types (of all, if none is named) whose history is gone, and whose result is kept for a key that may still hold:
/// id and type, at most so many.
pub async fn forgotten(db: &mut PgConnection, types: &[String], most: i64) -> sqlx::Result<Vec<(JobId, String)>> {
    let rows = sqlx::query!(
        r#"
        SELECT DISTINCT job_id, job_type FROM idempotency_keys
        WHERE expires_at IS NOT NULL AND (cardinality($1::text[]) = 0 OR job_type = ANY ($1))
        LIMIT $2
        "#,
        types,
        most,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (JobId(row.job_id), row.job_type)).collect())
}

/// A later job of one of these keys that did something, also where nobody holds the key any more.
pub async fn used_since(
    db: &mut PgConnection,
    job: JobId,
    tenant: &str,
    job_type: &str,
    hashes: &[Vec<u8>],
) -> sqlx::Result<Option<JobId>> {
    let later = sqlx::query_scalar!(
        r#"
        SELECT a.id FROM jobs_archive a
        -- Ids are in the order of submits.
        WHERE a.tenant = $1 AND a.id > $2 AND a.job_type = $3 AND (a.state = 'completed' OR usher_happened(a.journal))
          AND EXISTS (SELECT FROM unnest($4::bytea[]) AS h WHERE position(h IN a.key_hashes) > 0)
        ORDER BY a.id LIMIT 1
        "#,
        tenant,
        job.0,
        job_type,
        hashes,
    )
    .fetch_optional(db)
    .await?;
    Ok(later.map(JobId))
}

/// Takes over one key as it was seen: from a job that does not hold it any more, or, for a job that begins again, from
/// itself. False: somebody else was quicker.
pub async fn take_over(db: &mut PgConnection, tier: Tier, wanted: &Wanted<'_>, from: &Holder) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        UPDATE idempotency_keys
        -- Another time each time: whoever saw the key before has not seen this.
        SET job_id = $6, payload_hash = $7, created_at = clock_timestamp(), state = NULL, result = NULL, expires_at = NULL
        WHERE tier = $1 AND tenant = $2 AND job_type = $3 AND key_hash = $4 AND job_id = $5 AND created_at = $8
        "#,
        tier.as_i16(),
        wanted.tenant,
        wanted.job_type,
        &wanted.hash,
        from.job.0,
        wanted.job.0,
        &wanted.payload_hash,
        from.taken_at,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What a key stands for whose job the archive has forgotten.
#[derive(Debug)]
pub struct Outlived {
    pub job_type: String,
    pub state: String,
    pub result: Option<String>,
}

pub async fn outlived(db: &mut PgConnection, tenant: &str, job: JobId) -> sqlx::Result<Option<Outlived>> {
    sqlx::query_as!(
        Outlived,
        r#"
        SELECT job_type, state AS "state!", result FROM idempotency_keys
        WHERE tier IN (1, 2, 3) AND tenant = $1 AND job_id = $2 AND expires_at IS NOT NULL AND state IS NOT NULL
        LIMIT 1
        "#,
        tenant,
        job.0,
    )
    .fetch_optional(db)
    .await
}

/// The keys of a live job go on holding for their time from now on, however it ends: what it is about was done elsewhere.
pub async fn hold_on(db: &mut PgConnection, tier: Tier, job: JobId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE idempotency_keys k
        SET state = 'cancelled', expires_at = now() + j.key_ttl_ms * interval '1 millisecond'
        FROM jobs j CROSS JOIN LATERAL generate_series(0, length(j.key_hashes) / 32 - 1) AS n
        WHERE j.tier = $1 AND j.id = $2 AND k.tier = j.tier AND k.tenant = j.tenant AND k.job_type = j.job_type
          AND k.key_hash = substring(j.key_hashes FROM n * 32 + 1 FOR 32) AND k.job_id = j.id
        "#,
        tier.as_i16(),
        job.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How far a purge has come.
#[derive(Clone, Debug)]
pub struct Place {
    tier: i16,
    tenant: String,
    job_type: String,
    hash: Vec<u8>,
}

/// Looks at the next `most` keys in their order and lets go of those that nobody holds any more. `None`: that was the
/// last of them; begin anew.
pub async fn purge(db: &mut PgConnection, after: Option<&Place>, most: i64) -> sqlx::Result<Option<Place>> {
    let last = sqlx::query!(
        r#"
        WITH k AS MATERIALIZED (
            SELECT tier, tenant, job_type, key_hash, job_id, created_at, expires_at FROM idempotency_keys
            WHERE $1::smallint IS NULL OR (tier, tenant, job_type, key_hash) > ($1, $2, $3, $4)
            ORDER BY tier, tenant, job_type, key_hash LIMIT $5
        ), gone AS (
            SELECT k.* FROM k
            -- A young key may be of a job that is being committed.
            WHERE k.created_at < now() - interval '1 hour' AND coalesce(k.expires_at < now(), true)
              AND NOT EXISTS (SELECT FROM jobs j WHERE j.tier = k.tier AND j.id = k.job_id)
              AND NOT EXISTS (SELECT FROM jobs_archive a
                              WHERE a.id = k.job_id AND a.finished_at >= k.created_at - interval '1 day'
                                AND a.finished_at <= now() + interval '1 day' AND a.finished_at + a.key_ttl_ms * interval '1 millisecond' > now())
        ), d AS (
            DELETE FROM idempotency_keys x USING gone g
            WHERE x.tier = g.tier AND x.tenant = g.tenant AND x.job_type = g.job_type AND x.key_hash = g.key_hash
              AND x.job_id = g.job_id AND x.created_at = g.created_at
        )
        SELECT tier, tenant, job_type, key_hash, (SELECT count(*) FROM k) AS "looked_at!" FROM k
        ORDER BY tier DESC, tenant DESC, job_type DESC, key_hash DESC LIMIT 1
        "#,
        after.map(|at| at.tier),
        after.map(|at| at.tenant.as_str()),
        after.map(|at| at.job_type.as_str()),
        after.map(|at| at.hash.as_slice()),
        most,
    )
    .fetch_optional(db)
    .await?;
    Ok(last.filter(|last| last.looked_at == most).map(|last| Place {
        tier: last.tier,
        tenant: last.tenant,
        job_type: last.job_type,
        hash: last.key_hash,
    }))
}

/// Gives back keys that were taken in this transaction for jobs that another key turned away.
pub async fn give_back(db: &mut PgConnection, tier: Tier, given: &[Wanted<'_>]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        DELETE FROM idempotency_keys k
        USING unnest($2::text[], $3::text[], $4::bytea[], $5::uuid[]) AS w (tenant, job_type, hash, job)
        WHERE k.tier = $1 AND k.tenant = w.tenant AND k.job_type = w.job_type AND k.key_hash = w.hash AND k.job_id = w.job
        "#,
        tier.as_i16(),
        &tenants(given),
        &types(given),
        &hashes(given),
        &jobs(given),
    )
    .execute(db)
    .await?;
    Ok(())
}

fn tenants(wanted: &[Wanted<'_>]) -> Vec<String> {
    wanted.iter().map(|w| w.tenant.to_owned()).collect()
}

fn types(wanted: &[Wanted<'_>]) -> Vec<String> {
    wanted.iter().map(|w| w.job_type.to_owned()).collect()
}

fn hashes(wanted: &[Wanted<'_>]) -> Vec<Vec<u8>> {
    wanted.iter().map(|w| w.hash.to_vec()).collect()
}

fn jobs(wanted: &[Wanted<'_>]) -> Vec<Uuid> {
    wanted.iter().map(|w| w.job.0).collect()
}

fn payload_hashes(wanted: &[Wanted<'_>]) -> Vec<Vec<u8>> {
    wanted.iter().map(|w| w.payload_hash.to_vec()).collect()
}
