//! What becomes of jobs when releases come and go.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    ids::{Digest, Tier},
    queue::Ready,
};

/// The attempts that a release burnt, since it began to serve, are given back to the jobs that nobody holds now, each once;
/// not to one that trapped under another release before. Returns to how many.
pub async fn give_back(
    db: &mut PgConnection,
    release: Digest,
    since: DateTime<Utc>,
    kinds: &[String],
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        WITH victims AS MATERIALIZED (
            SELECT x.tier, x.id, x.errors FROM jobs x
            WHERE x.release = $1 AND x.lease IS NULL AND usher_burnt(x.errors, $2, $3, $4) > 0
            -- Whoever holds one of them holds up none of the others.
            FOR UPDATE SKIP LOCKED
        )
        UPDATE jobs j SET attempt = greatest(0, j.attempt - b.burnt), errors = b.errors
        FROM (
            SELECT v.tier, v.id, count(*) FILTER (WHERE m.burnt)::int AS burnt,
                   jsonb_agg(CASE WHEN m.burnt THEN e.value || '{"givenBack": true}' ELSE e.value END ORDER BY e.n) AS errors
            FROM victims v
            CROSS JOIN LATERAL jsonb_array_elements(v.errors) WITH ORDINALITY AS e (value, n)
            CROSS JOIN LATERAL (
                SELECT usher_burnt(jsonb_build_array(e.value), $2, $3, $4) > 0 AS burnt
            ) AS m
            GROUP BY v.tier, v.id
        ) AS b
        WHERE j.tier = b.tier AND j.id = b.id
        "#,
        release.as_bytes(),
        release.to_string(),
        since,
        kinds,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Whether a live job still has an attempt to get back, also one that somebody holds.
pub async fn is_owed(
    db: &mut PgConnection,
    release: Digest,
    since: DateTime<Utc>,
    kinds: &[String],
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM jobs WHERE release = $1 AND usher_burnt(errors, $2, $3, $4) > 0) AS "is!""#,
        release.as_bytes(),
        release.to_string(),
        since,
        kinds,
    )
    .fetch_one(db)
    .await
}

/// How many live jobs name a release, and how many dead ones that somebody could start again.
pub async fn naming(db: &mut PgConnection, release: Digest) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"
        SELECT (SELECT count(*) FROM jobs j
                WHERE j.release = $1 OR j.accepted_by = $1 OR j.pinned = $1
                   OR EXISTS (SELECT FROM effects e WHERE e.job_id = j.id AND e.release = $1)) AS "live!",
               (SELECT count(*) FROM jobs_archive a
                WHERE a.state = 'dead' AND (a.release = $1 OR a.accepted_by = $1)) AS "dead!"
        "#,
        release.as_bytes(),
    )
    .fetch_one(db)
    .await?;
    Ok((row.live, row.dead))
}

/// How many jobs of these types are not over. Counts no further than `most`.
pub async fn live_of(db: &mut PgConnection, types: &[String], most: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (SELECT FROM jobs WHERE job_type = ANY ($1) LIMIT $2) AS first"#,
        types,
        most,
    )
    .fetch_one(db)
    .await
}

/// Some waiting jobs of these types and tier without a journal, locked.
pub async fn lock_waiting(db: &mut PgConnection, tier: Tier, types: &[String], most: i64) -> sqlx::Result<Vec<Uuid>> {
    let mut ids = sqlx::query_scalar!(
        r#"
        SELECT id FROM jobs j
        WHERE tier = $1 AND job_type = ANY ($2) AND lease IS NULL AND state IN ('scheduled', 'blocked', 'ready')
          AND NOT EXISTS (SELECT FROM effects e WHERE e.job_id = j.id)
        LIMIT $3
        FOR UPDATE SKIP LOCKED
        "#,
        tier.as_i16(),
        types,
        most,
    )
    .fetch_all(&mut *db)
    .await?;
    // Asked again under the locks: a job may have run since the statement above began.
    let late =
        sqlx::query_scalar!("SELECT DISTINCT job_id FROM effects WHERE job_id = ANY ($1)", &ids).fetch_all(db).await?;
    ids.retain(|id| !late.contains(id));
    Ok(ids)
}

/// A job that waits for its first effect.
#[derive(Debug)]
pub struct Waiting {
    pub id: Uuid,
    pub payload: String,
    /// The release whose schema took it; `None`: none did yet.
    pub accepted_by: Option<Digest>,
}

/// The next waiting jobs of this tier and type in order of id that no release holds, but for those that one of these releases
/// accepted: as many as have `bytes` together, and at least one.
pub async fn waiting(
    db: &mut PgConnection,
    tier: Tier,
    job_type: &str,
    but: &[Vec<u8>],
    after: Uuid,
    bytes: i64,
    most: i64,
) -> sqlx::Result<Vec<Waiting>> {
    let rows = sqlx::query!(
        r#"
        SELECT id AS "id!", payload AS "payload!", accepted_by AS "accepted_by?"
        FROM (
            SELECT w.*, row_number() OVER o AS n, sum(octet_length(w.payload)) OVER o AS total
            FROM (
                SELECT j.id, j.payload, j.accepted_by FROM jobs j
                WHERE j.tier = $1 AND j.job_type = $2 AND j.id > $4 AND j.lease IS NULL
                  AND j.state IN ('scheduled', 'blocked', 'ready') AND NOT j.cancel_requested AND j.pinned IS NULL
                  AND NOT coalesce(j.accepted_by = ANY ($3), false)
                  AND NOT EXISTS (SELECT FROM effects e WHERE e.job_id = j.id)
                ORDER BY j.id LIMIT $5
            ) AS w
            WINDOW o AS (ORDER BY w.id)
        ) AS p
        WHERE p.n = 1 OR p.total <= $6
        ORDER BY p.id
        "#,
        tier.as_i16(),
        job_type,
        but,
        after,
        most,
        bytes,
    )
    .fetch_all(db)
    .await?;
    let waiting = rows.into_iter().map(|row| Waiting {
        id: row.id,
        payload: row.payload,
        accepted_by: row.accepted_by.as_deref().and_then(Digest::from_slice),
    });
    Ok(waiting.collect())
}

/// The others of these types, which run or have a journal: no new effect begins, and whoever has them ends them. Those
/// that wait become ready. Their ids, and where they are ready.
pub async fn request_cancels(
    db: &mut PgConnection,
    types: &[String],
    most: i64,
) -> sqlx::Result<(Vec<Uuid>, Vec<Ready>)> {
    let rows = sqlx::query!(
        r#"
        UPDATE jobs j
        SET cancel_requested = true,
            state  = CASE WHEN j.lease IS NULL THEN 'ready' ELSE j.state END,
            ord    = CASE WHEN j.lease IS NULL THEN nextval('ready_seq') ELSE j.ord END,
            run_at = CASE WHEN j.lease IS NULL THEN least(j.run_at, now()) ELSE j.run_at END,
            waits  = NULL
        FROM (
            SELECT x.tier, x.id FROM jobs x
            WHERE x.job_type = ANY ($1) AND NOT x.cancel_requested AND x.state <> 'dead'
              AND (x.lease IS NOT NULL OR EXISTS (SELECT FROM effects e WHERE e.job_id = x.id))
            LIMIT $2 FOR UPDATE SKIP LOCKED
        ) AS c
        WHERE j.tier = c.tier AND j.id = c.id
        RETURNING j.id, j.queue, j.priority, j.lane, j.ord, j.lease
        "#,
        types,
        most,
    )
    .fetch_all(db)
    .await?;
    let ids = rows.iter().map(|row| row.id).collect();
    let ready = rows
        .into_iter()
        .filter(|row| row.lease.is_none())
        .filter_map(|row| Some(Ready { queue: row.queue, priority: row.priority, lane: row.lane, ord: row.ord? }));
    Ok((ids, ready.collect()))
}

/// A live job that is held to a release, by its journal or by a redrive.
#[derive(Debug)]
pub struct Pinned {
    pub tier: Tier,
    pub id: Uuid,
    pub job_type: String,
    pub payload: String,
    /// Nobody runs it, and no person has to say what became of an effect.
    pub waits: bool,
    /// One of its effects is under way or in doubt.
    pub in_doubt: bool,
    /// Provider and function of each effect so far.
    pub effects: Vec<String>,
}

/// The next ones in order of id, locked.
pub async fn lock_pinned(db: &mut PgConnection, release: Digest, after: Uuid, most: i64) -> sqlx::Result<Vec<Pinned>> {
    let rows = sqlx::query!(
        r#"
        SELECT j.tier, j.id, j.job_type, j.payload, j.lease IS NULL AND j.state <> 'dead' AS "waits!"
        FROM jobs j
        WHERE j.id > $2
          AND (j.pinned = $1 OR j.pinned IS NULL AND EXISTS (SELECT FROM effects e WHERE e.job_id = j.id AND e.seq = 0 AND e.release = $1))
        ORDER BY j.id LIMIT $3 FOR UPDATE OF j
        "#,
        release.as_bytes(),
        after,
        most,
    )
    .fetch_all(&mut *db)
    .await?;
    // Asked under the locks, by a statement of its own: the one above may have waited, and saw the journal before that.
    let journals = sqlx::query!(
        r#"
        SELECT job_id, bool_or(state IN ('started', 'doubt')) AS "in_doubt!",
               array_agg(DISTINCT provider || ' ' || function) AS "effects!: Vec<String>"
        FROM effects WHERE job_id = ANY ($1) GROUP BY job_id
        "#,
        &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    let mut journals: HashMap<_, _> = journals.into_iter().map(|j| (j.job_id, (j.in_doubt, j.effects))).collect();
    let pinned = rows.into_iter().map(|row| {
        let (in_doubt, effects) = journals.remove(&row.id).unwrap_or_default();
        Ok(Pinned {
            tier: Tier::try_from(row.tier).map_err(|e| sqlx::Error::Decode(e.into()))?,
            id: row.id,
            job_type: row.job_type,
            payload: row.payload,
            waits: row.waits,
            in_doubt,
            effects,
        })
    });
    pinned.collect()
}

/// These jobs run on that release from now on. Returns how many it were.
pub async fn pin(db: &mut PgConnection, ids: &[Uuid], release: Digest) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "UPDATE jobs SET pinned = $2 WHERE tier IN (1, 2, 3) AND id = ANY ($1) AND lease IS NULL AND state <> 'dead'",
        ids,
        release.as_bytes(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
