//! What is recorded of finished jobs, for those who run them again.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{Digest, JobId};

/// A finished job, as it was.
#[derive(Clone, Debug)]
pub struct Recording {
    pub id: JobId,
    pub tenant: String,
    pub job_type: String,
    pub state: String,
    pub reason: Option<String>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub payload: String,
    /// That ran it last.
    pub release: Option<Digest>,
    /// JSON text.
    pub result: Option<String>,
    /// The last one.
    pub error: Option<serde_json::Value>,
    pub journal: Option<serde_json::Value>,
    /// The guest's clock at the start of its last attempt; `None`: not known.
    pub base_ms: Option<i64>,
    pub finished_at: DateTime<Utc>,
}

/// Some of the archive by id, newest first.
#[derive(Debug)]
pub struct Stretch {
    /// What was asked for, newest first.
    pub ids: Vec<Uuid>,
    /// When the first of them ended, and the last.
    pub ended: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// How many jobs were looked at.
    pub looked: i64,
    /// The next stretch begins below this one; `None`: there is none.
    pub below: Option<Uuid>,
}

/// The `most` newest jobs below an id: those of these types (of all, if none is named) that left something to compare with. No
/// index knows the types of the archive, so that a rare one is found by looking at the others.
pub async fn stretch(db: &mut PgConnection, types: &[String], below: Uuid, most: i64) -> sqlx::Result<Stretch> {
    let row = sqlx::query!(
        r#"
        SELECT count(*) AS "looked!", (array_agg(s.id ORDER BY s.id))[1] AS "last?",
               array_agg(s.id ORDER BY s.id DESC) FILTER (WHERE s.wanted) AS "ids?",
               min(s.finished_at) FILTER (WHERE s.wanted) AS "first_end?",
               max(s.finished_at) FILTER (WHERE s.wanted) AS "last_end?"
        FROM (
            SELECT id, finished_at,
                   (cardinality($1::text[]) = 0 OR job_type = ANY ($1)) AND (state <> 'cancelled' OR journal IS NOT NULL) AS wanted
            FROM jobs_archive WHERE id < $2 ORDER BY id DESC LIMIT $3
        ) AS s
        "#,
        types,
        below,
        most,
    )
    .fetch_one(db)
    .await?;
    Ok(Stretch {
        ids: row.ids.unwrap_or_default(),
        ended: row.first_end.zip(row.last_end),
        looked: row.looked,
        below: row.last.filter(|_| row.looked == most),
    })
}

/// The newest of these finished jobs: as many as have `bytes` together, and at least one. One that was started again
/// meanwhile is left out. `ended`: when the first of them ended, and the last.
pub async fn recordings(
    db: &mut PgConnection,
    ids: &[Uuid],
    ended: (DateTime<Utc>, DateTime<Utc>),
    bytes: i64,
) -> sqlx::Result<Vec<Recording>> {
    let rows = sqlx::query!(
        r#"
        SELECT id AS "id!", tenant AS "tenant!", job_type AS "job_type!", state AS "state!", reason AS "reason?",
               attempt AS "attempt!", max_attempts AS "max_attempts!", payload AS "payload!", release AS "release?",
               result AS "result?", errors -> -1 AS "error?", journal AS "journal?", base_ms AS "base_ms?",
               finished_at AS "finished_at!"
        FROM (
            SELECT a.*, row_number() OVER w AS n,
                   sum(octet_length(a.payload) + coalesce(octet_length(a.result), 0)
                       + coalesce(octet_length(a.journal::text), 0)) OVER w AS total
            FROM jobs_archive a
            -- The other days are not looked into.
            WHERE a.id = ANY ($1) AND a.finished_at >= $2 AND a.finished_at <= $3
            WINDOW w AS (ORDER BY a.id DESC)
        ) AS p
        WHERE p.n = 1 OR p.total <= $4
        ORDER BY p.id DESC
        "#,
        ids,
        ended.0,
        ended.1,
        bytes,
    )
    .fetch_all(db)
    .await?;
    let recording = rows.into_iter().map(|row| Recording {
        id: JobId(row.id),
        tenant: row.tenant,
        job_type: row.job_type,
        state: row.state,
        reason: row.reason,
        attempt: row.attempt,
        max_attempts: row.max_attempts,
        payload: row.payload,
        release: row.release.as_deref().and_then(Digest::from_slice),
        result: row.result,
        error: row.error,
        journal: row.journal,
        base_ms: row.base_ms,
        finished_at: row.finished_at,
    });
    Ok(recording.collect())
}
