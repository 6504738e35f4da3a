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
        SELECT k.key_hash, k.tenant, k.job_type, k.job_id, k.payload_hash,
               j.id IS NOT NULL
               OR coalesce(a.finished_at + a.key_ttl_ms * interval '1 millisecond' > now()
                           AND (a.state = 'completed'
                                OR EXISTS (SELECT FROM jsonb_array_elements(a.journal) AS e
                                           WHERE e ->> 'state' IN ('started', 'doubt') OR e -> 'answer' ->> 'kind' = 'ok')),
                           false) AS "holds!"
        FROM unnest($2::text[], $3::text[], $4::bytea[]) AS w (tenant, job_type, hash)
        JOIN idempotency_keys k
             ON k.tier = $1 AND k.tenant = w.tenant AND k.job_type = w.job_type AND k.key_hash = w.hash
        LEFT JOIN jobs j ON j.tier = $1 AND j.id = k.job_id
        LEFT JOIN jobs_archive a ON a.id = k.job_id
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
                holds: row.holds,
            })
        })
        .collect()
}

/// Takes over one key from a job that does not hold it any more. False: somebody else was quicker.
pub async fn take_over(db: &mut PgConnection, tier: Tier, wanted: &Wanted<'_>, from: JobId) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        UPDATE idempotency_keys SET job_id = $6, payload_hash = $7, created_at = now()
        WHERE tier = $1 AND tenant = $2 AND job_type = $3 AND key_hash = $4 AND job_id = $5
        "#,
        tier.as_i16(),
        wanted.tenant,
        wanted.job_type,
        &wanted.hash,
        from.0,
        wanted.job.0,
        &wanted.payload_hash,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
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
