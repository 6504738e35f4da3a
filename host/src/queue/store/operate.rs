use sqlx::PgConnection;
use uuid::Uuid;

use super::limits::{Freed, Line, go_on};
use crate::{
    ids::{Digest, JobId, Lease, Tier},
    queue::Ready,
};

/// A live job as somebody who wants it ended finds it, locked.
#[derive(Debug)]
pub struct Live {
    pub tier: Tier,
    pub tenant: String,
    pub state: String,
    pub lease: Option<Lease>,
    /// It has rows in the journal.
    pub journaled: bool,
}

/// Locks a live job; `tenant` restricts to its own.
pub async fn lock(db: &mut PgConnection, id: JobId, tenant: Option<&str>) -> sqlx::Result<Option<Live>> {
    let row = sqlx::query!(
        r#"
        SELECT tier, tenant, state, lease FROM jobs
        WHERE tier IN (1, 2, 3) AND id = $1 AND ($2::text IS NULL OR tenant = $2)
        FOR UPDATE
        "#,
        id.0,
        tenant,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let tier = Tier::try_from(row.tier).map_err(|e| sqlx::Error::Decode(e.into()))?;
    // Asked under the lock, by a statement of its own: the one above may have waited, and saw the journal before that.
    let journaled = !journaled(db, &[id.0]).await?.is_empty();
    Ok(Some(Live { tier, tenant: row.tenant, state: row.state, lease: row.lease.map(Lease), journaled }))
}

/// Those of the jobs that have a journal.
async fn journaled(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!("SELECT DISTINCT job_id FROM effects WHERE job_id = ANY ($1)", ids).fetch_all(db).await
}

/// Wants a job cancelled that runs, or that has a journal: no effect begins from now on, and whoever has it ends it. One
/// that waits becomes ready, so that somebody does.
pub async fn request_cancel(db: &mut PgConnection, tier: Tier, id: JobId) -> sqlx::Result<Option<Ready>> {
    let row = sqlx::query!(
        r#"
        UPDATE jobs
        SET cancel_requested = true,
            state  = CASE WHEN lease IS NULL THEN 'ready' ELSE state END,
            ord    = CASE WHEN lease IS NULL THEN nextval('ready_seq') ELSE ord END,
            run_at = CASE WHEN lease IS NULL THEN least(run_at, now()) ELSE run_at END,
            waits  = NULL
        WHERE tier = $1 AND id = $2 AND state <> 'dead'
        RETURNING queue, priority, lane, ord AS "ord!", lease
        "#,
        tier.as_i16(),
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.filter(|row| row.lease.is_none()).map(|row| Ready {
        queue: row.queue,
        priority: row.priority,
        lane: row.lane,
        ord: row.ord,
    }))
}

/// A job that waited for a person goes on, with a budget of `attempts` more and a day to begin in. `None`: it does not wait for one.
pub async fn unpark(
    db: &mut PgConnection,
    tier: Tier,
    id: JobId,
    attempts: i32,
    note: &serde_json::Value,
) -> sqlx::Result<Option<Vec<Ready>>> {
    let row = sqlx::query!(
        r#"
        WITH u AS (
        UPDATE jobs
        SET state        = CASE WHEN limited THEN 'blocked' ELSE 'ready' END,
            reason       = NULL,
            waits        = CASE WHEN limited THEN 'slot' END,
            ord          = CASE WHEN NOT limited THEN nextval('ready_seq') END,
            run_at       = CASE WHEN limited THEN 'infinity' ELSE now() END,
            max_attempts = greatest(max_attempts, attempt + $3),
            snoozes      = 0,
            -- However long the person took: it did not wait to be forgotten.
            expires_at   = greatest(expires_at, now() + interval '1 day'),
            errors       = errors || $4
        WHERE tier = $1 AND id = $2 AND state = 'dead'
        RETURNING id, tenant, job_type, state, queue, priority, lane, ord, limited
        ), o AS (
            INSERT INTO outbox (tenants, job_ids, job_types, events)
            SELECT ARRAY[u.tenant], ARRAY[u.id], ARRAY[u.job_type], ARRAY['job.' || u.state]
            FROM u WHERE (SELECT until > now() FROM event_log)
        )
        SELECT queue AS "queue!", priority AS "priority!", lane AS "lane!", ord, limited AS "limited!" FROM u
        "#,
        tier.as_i16(),
        id.0,
        attempts,
        note,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut ready = go_on(db, &Freed { lines: Vec::new(), slots: row.limited }).await?;
    ready.extend(row.ord.map(|ord| Ready { queue: row.queue, priority: row.priority, lane: row.lane, ord }));
    Ok(Some(ready))
}

/// A job that waits for its next attempt need not wait for it any longer. Returns whether it did.
pub async fn hasten(db: &mut PgConnection, tier: Tier, id: JobId) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        UPDATE jobs SET run_at = now()
        WHERE tier = $1 AND id = $2 AND state = 'scheduled' AND run_at > now() AND NOT unchecked
        "#,
        tier.as_i16(),
        id.0,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Some waiting jobs of a queue that no effect holds back, locked. By tier, since a queue has one.
pub async fn lock_clearable(db: &mut PgConnection, tier: Tier, queue: &str, most: i64) -> sqlx::Result<Vec<Uuid>> {
    let mut ids = sqlx::query_scalar!(
        r#"
        SELECT id FROM jobs j
        WHERE tier = $1 AND queue = $2 AND lease IS NULL AND state IN ('scheduled', 'blocked', 'ready')
          AND NOT EXISTS (SELECT FROM effects e WHERE e.job_id = j.id)
        LIMIT $3
        FOR UPDATE SKIP LOCKED
        "#,
        tier.as_i16(),
        queue,
        most,
    )
    .fetch_all(&mut *db)
    .await?;
    // Asked again under the locks: a job may have run since the statement above began.
    let late = journaled(db, &ids).await?;
    ids.retain(|id| !late.contains(id));
    Ok(ids)
}

/// What a clear leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub running: i64,
    pub journaled: i64,
}

pub async fn kept(db: &mut PgConnection, tier: Tier, queue: &str) -> sqlx::Result<Kept> {
    let row = sqlx::query!(
        r#"
        SELECT count(*) FILTER (WHERE lease IS NOT NULL) AS "running!",
               count(*) FILTER (WHERE lease IS NULL) AS "journaled!"
        FROM jobs WHERE tier = $1 AND queue = $2
        "#,
        tier.as_i16(),
        queue,
    )
    .fetch_one(db)
    .await?;
    Ok(Kept { running: row.running, journaled: row.journaled })
}

/// Every claim looks at it, so it binds all nodes with their next claim. Returns whether it changed anything.
pub async fn set_paused(db: &mut PgConnection, queue: &str, paused: bool, by: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        INSERT INTO queues AS q (name, paused, changed_by) VALUES ($1, $2, $3)
        ON CONFLICT (name) DO UPDATE SET paused = $2, changed_at = now(), changed_by = $3 WHERE q.paused <> $2
        "#,
        queue,
        paused,
        by,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The names of the paused queues.
pub async fn paused(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("SELECT name FROM queues WHERE paused").fetch_all(db).await
}

/// A finished job as a redrive finds it.
#[derive(Debug)]
pub struct Finished {
    pub tier: Tier,
    pub tenant: String,
    pub job_type: String,
    pub queue: String,
    pub state: String,
    pub reason: Option<String>,
    pub payload: String,
    pub accepted_by: Option<Digest>,
    pub key_hashes: Option<Vec<u8>>,
    pub generation: i32,
    pub journal: Option<serde_json::Value>,
}

/// Locks an archived job; `tenant` restricts to its own.
pub async fn lock_finished(db: &mut PgConnection, id: JobId, tenant: Option<&str>) -> sqlx::Result<Option<Finished>> {
    let row = sqlx::query!(
        r#"
        SELECT tier, tenant, job_type, queue, state, reason, payload, accepted_by, key_hashes, generation, journal
        FROM jobs_archive
        WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)
        FOR UPDATE
        "#,
        id.0,
        tenant,
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Finished {
            tier: Tier::try_from(row.tier).map_err(|e| sqlx::Error::Decode(e.into()))?,
            tenant: row.tenant,
            job_type: row.job_type,
            queue: row.queue,
            state: row.state,
            reason: row.reason,
            payload: row.payload,
            accepted_by: row.accepted_by.as_deref().and_then(Digest::from_slice),
            key_hashes: row.key_hashes,
            generation: row.generation,
            journal: row.journal,
        })
    })
    .transpose()
}

/// How a finished job begins again.
#[derive(Debug)]
pub struct Redrive {
    pub id: JobId,
    pub lane: i16,
    /// `None`: nothing serves its type now; whatever does when it runs.
    pub pinned: Option<Digest>,
    pub generation: i32,
    pub max_attempts: i32,
    pub expires_in_ms: i64,
    /// Added to its errors.
    pub note: serde_json::Value,
}

/// The row comes back from the archive under its old id: ready, or at the end of what it has to wait for.
pub async fn redrive(db: &mut PgConnection, r: &Redrive) -> sqlx::Result<Option<Vec<Ready>>> {
    let row = sqlx::query!(
        r#"
        WITH a AS (DELETE FROM jobs_archive WHERE id = $1 RETURNING *),
        w AS (
            SELECT a.*, EXISTS (SELECT FROM limits l WHERE l.scope IN ('queue/' || a.queue, 'type/' || a.job_type)) AS limited
            FROM a
        ), i AS (
        INSERT INTO jobs (tier, id, tenant, job_type, queue, priority, lane, ord, run_at, state, waits, limited, max_attempts,
                          payload, metadata, subject, parent, accepted_by, release, ordering_key, idempotency_key, key_ttl_ms,
                          key_hashes, redrives, runs, generation, pinned, errors, created_at, expires_at)
        SELECT tier, id, tenant, job_type, queue, priority, $2,
               CASE WHEN ordering_key IS NULL AND NOT limited THEN nextval('ready_seq') END,
               CASE WHEN ordering_key IS NULL AND NOT limited THEN now() ELSE 'infinity' END,
               CASE WHEN ordering_key IS NULL AND NOT limited THEN 'ready' ELSE 'blocked' END,
               CASE WHEN ordering_key IS NOT NULL THEN 'turn' WHEN limited THEN 'slot' END, limited, $5, payload, metadata,
               subject, parent, accepted_by, release, ordering_key, idempotency_key, key_ttl_ms, key_hashes,
               redrives + 1, 1, $4, $3, errors || $7, created_at, now() + $6 * interval '1 millisecond'
        FROM w
        RETURNING id, job_type, state, queue, tenant, ordering_key, priority, lane, ord, waits
        ), o AS (
            INSERT INTO outbox (tenants, job_ids, job_types, events)
            SELECT ARRAY[i.tenant], ARRAY[i.id], ARRAY[i.job_type], ARRAY['job.' || i.state]
            FROM i WHERE (SELECT until > now() FROM event_log)
        )
        SELECT queue AS "queue!", tenant AS "tenant!", ordering_key, priority AS "priority!", lane AS "lane!", ord, waits
        FROM i
        "#,
        r.id.0,
        r.lane,
        r.pinned.as_ref().map(Digest::as_bytes),
        r.generation,
        r.max_attempts,
        // An i64 of milliseconds as a double: exact up to 285,000 years.
        r.expires_in_ms as f64,
        r.note,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut freed = Freed { lines: Vec::new(), slots: row.waits.is_some() };
    if let Some(key) = row.ordering_key {
        freed.lines.push(Line { queue: row.queue.clone(), tenant: row.tenant, key });
    }
    let mut ready = go_on(db, &freed).await?;
    ready.extend(row.ord.map(|ord| Ready { queue: row.queue, priority: row.priority, lane: row.lane, ord }));
    Ok(Some(ready))
}

/// Which dead jobs a bulk redrive is about. All that is there must hold.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadFilter {
    #[serde(rename = "type")]
    pub job_type: Option<String>,
    pub queue: Option<String>,
    pub tenant: Option<String>,
    #[schema(pattern = "^(retries-exhausted|permanent|expired|trapped|nondeterministic)$")]
    pub reason: Option<String>,
    /// That ran it last. Not written where it is not asked for, so that hosts of the version before can read the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Digest>,
    pub finished_after: Option<chrono::DateTime<chrono::Utc>>,
    pub finished_before: Option<chrono::DateTime<chrono::Utc>>,
}

/// How many there are, and the first few.
pub async fn count_dead(db: &mut PgConnection, f: &DeadFilter, sample: i64) -> sqlx::Result<(i64, Vec<Uuid>)> {
    let row = sqlx::query!(
        r#"
        WITH m AS (
            SELECT id FROM jobs_archive
            WHERE state = 'dead' AND ($1::text IS NULL OR job_type = $1) AND ($2::text IS NULL OR queue = $2)
              AND ($3::text IS NULL OR tenant = $3) AND ($4::text IS NULL OR reason = $4)
              AND ($5::timestamptz IS NULL OR finished_at >= $5) AND ($6::timestamptz IS NULL OR finished_at < $6)
              AND ($8::bytea IS NULL OR release = $8 AND errors -> -1 ->> 'kind' IS DISTINCT FROM 'host-lost')
        )
        SELECT (SELECT count(*) FROM m) AS "count!", ARRAY(SELECT id FROM m ORDER BY id LIMIT $7) AS "sample!"
        "#,
        f.job_type,
        f.queue,
        f.tenant,
        f.reason,
        f.finished_after,
        f.finished_before,
        sample,
        f.release.as_ref().map(Digest::as_bytes),
    )
    .fetch_one(db)
    .await?;
    Ok((row.count, row.sample))
}

/// The next ones in order of id; but for those that have an error of one of these kinds from another release than that of
/// the filter.
pub async fn next_dead(
    db: &mut PgConnection,
    f: &DeadFilter,
    but: &[String],
    after: Uuid,
    most: i64,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"
        SELECT id FROM jobs_archive
        WHERE state = 'dead' AND ($1::text IS NULL OR job_type = $1) AND ($2::text IS NULL OR queue = $2)
          AND ($3::text IS NULL OR tenant = $3) AND ($4::text IS NULL OR reason = $4)
          AND ($5::timestamptz IS NULL OR finished_at >= $5) AND ($6::timestamptz IS NULL OR finished_at < $6)
          AND id > $7
          -- What nodes died of is no release's: it may kill them again.
          AND ($9::bytea IS NULL OR release = $9 AND errors -> -1 ->> 'kind' IS DISTINCT FROM 'host-lost')
          AND NOT EXISTS (
              SELECT FROM jsonb_array_elements(errors) AS o, unnest($10::text[]) AS k
              WHERE o ->> 'release' <> $11 AND starts_with(o ->> 'kind', k))
        ORDER BY id LIMIT $8
        "#,
        f.job_type,
        f.queue,
        f.tenant,
        f.reason,
        f.finished_after,
        f.finished_before,
        after,
        most,
        f.release.as_ref().map(Digest::as_bytes),
        but,
        f.release.map(|release| release.to_string()),
    )
    .fetch_all(db)
    .await
}
