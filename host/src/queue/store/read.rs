use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    ids::{Digest, JobId, Priority},
    queue::{JobView, ListFilter},
};

/// Both tables, as one shape.
struct Row {
    id: Uuid,
    tenant: String,
    job_type: String,
    queue: String,
    tier: i16,
    priority: i16,
    state: String,
    reason: Option<String>,
    attempt: i32,
    max_attempts: i32,
    payload: String,
    metadata: Option<String>,
    subject: String,
    parent: Option<Uuid>,
    release: Option<Vec<u8>>,
    idempotency_key: Option<String>,
    result: Option<String>,
    errors: serde_json::Value,
    cpu_us: Option<i64>,
    created_at: DateTime<Utc>,
    run_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<Row> for JobView {
    fn from(row: Row) -> Self {
        Self {
            id: JobId(row.id),
            tenant: row.tenant,
            job_type: row.job_type,
            queue: row.queue,
            tier: row.tier,
            // The column's CHECK allows no other number.
            priority: Priority::try_from(row.priority).unwrap_or(Priority::Normal),
            state: row.state,
            reason: row.reason,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            payload: row.payload,
            metadata: row.metadata,
            subject: row.subject,
            parent: row.parent,
            release: row.release.as_deref().and_then(Digest::from_slice),
            idempotency_key: row.idempotency_key,
            result: row.result,
            errors: row.errors,
            cpu_us: row.cpu_us,
            created_at: row.created_at,
            run_at: row.run_at,
            expires_at: row.expires_at,
            finished_at: row.finished_at,
        }
    }
}

/// One job, live or archived; `tenant` restricts to its own. One statement, so that a settle in between is not missed.
pub async fn get(db: &mut PgConnection, id: JobId, tenant: Option<&str>) -> sqlx::Result<Option<JobView>> {
    let row = sqlx::query_as!(
        Row,
        r#"
        SELECT id AS "id!", tenant AS "tenant!", job_type AS "job_type!", queue AS "queue!", tier AS "tier!",
               priority AS "priority!", state AS "state!", reason, attempt AS "attempt!",
               max_attempts AS "max_attempts!", payload AS "payload!", metadata, subject AS "subject!", parent, release,
               idempotency_key, NULL::text AS result, errors AS "errors!", NULL::bigint AS cpu_us,
               created_at AS "created_at!", nullif(run_at, 'infinity') AS run_at, expires_at AS "expires_at!",
               NULL::timestamptz AS finished_at
        FROM jobs
        WHERE tier IN (1, 2, 3) AND id = $1 AND ($2::text IS NULL OR tenant = $2)
        UNION ALL
        SELECT id, tenant, job_type, queue, tier, priority, state, reason, attempt, max_attempts, payload, metadata,
               subject, parent, release, idempotency_key, result, errors, cpu_us, created_at, nullif(run_at, 'infinity'), expires_at, finished_at
        FROM jobs_archive
        -- An id tells when its job (or the parent of it) was made: only the days since then are looked into.
        WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)
          AND finished_at >= $3::timestamptz - interval '1 day' AND finished_at <= now() + interval '1 day'
        LIMIT 1
        "#,
        id.0,
        tenant,
        id.made_at(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(JobView::from))
}

/// Those of the jobs that have ended a short while ago, or wait for a person.
pub async fn over(db: &mut PgConnection, jobs: &[JobId]) -> sqlx::Result<Vec<JobId>> {
    let ids = sqlx::query_scalar!(
        r#"
        SELECT id AS "id!" FROM jobs_archive
        WHERE id = ANY ($1) AND finished_at > now() - interval '10 minutes' AND finished_at < now() + interval '1 day'
        UNION ALL
        SELECT id FROM jobs WHERE tier IN (1, 2, 3) AND id = ANY ($1) AND state = 'dead'
        "#,
        &jobs.iter().map(|job| job.0).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// Newest first, live and archived together. Each side is cut to the limit before they are merged.
pub async fn list(db: &mut PgConnection, filter: &ListFilter) -> sqlx::Result<Vec<JobView>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        (SELECT id AS "id!", tenant AS "tenant!", job_type AS "job_type!", queue AS "queue!", tier AS "tier!",
                priority AS "priority!", state AS "state!", reason, attempt AS "attempt!",
                max_attempts AS "max_attempts!", payload AS "payload!", metadata, subject AS "subject!", parent, release,
                idempotency_key, NULL::text AS result, errors AS "errors!", NULL::bigint AS cpu_us,
                created_at AS "created_at!", nullif(run_at, 'infinity') AS run_at, expires_at AS "expires_at!",
                NULL::timestamptz AS finished_at
         FROM jobs
         WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR job_type = $2)
           AND ($3::text IS NULL OR queue = $3) AND ($4::text IS NULL OR state = $4) AND ($5::uuid IS NULL OR id < $5)
         ORDER BY id DESC LIMIT $6)
        UNION ALL
        (SELECT id, tenant, job_type, queue, tier, priority, state, reason, attempt, max_attempts, payload, metadata,
                subject, parent, release, idempotency_key, result, errors, cpu_us, created_at, nullif(run_at, 'infinity'), expires_at, finished_at
         FROM jobs_archive
         WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR job_type = $2)
           AND ($3::text IS NULL OR queue = $3) AND ($4::text IS NULL OR state = $4) AND ($5::uuid IS NULL OR id < $5)
         ORDER BY id DESC LIMIT $6)
        ORDER BY 1 DESC
        LIMIT $6
        "#,
        filter.tenant,
        filter.job_type,
        filter.queue,
        filter.state,
        filter.before.map(|id| id.0),
        filter.limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(JobView::from).collect())
}
