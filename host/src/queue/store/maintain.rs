use std::time::Duration;

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{JobId, NodeId, Tier};

/// What a look into the tables found.
#[derive(Debug, Default)]
pub struct Poll {
    /// Queues with jobs that may be claimed.
    pub ready: Vec<String>,
    /// Until the next job falls due.
    pub next_due: Option<Duration>,
}

/// Most jobs that one look makes ready.
const PROMOTE_BATCH: i64 = 1_000;

/// Makes due jobs ready, and blocked ones whose type this node serves or whose time is over; says where there is work.
/// One statement, since an idle node runs it every few seconds.
pub async fn poll(db: &mut PgConnection, queues: &[String], served: &[String]) -> sqlx::Result<Poll> {
    let row = sqlx::query!(
        r#"
        WITH due AS MATERIALIZED (
            SELECT tier, id FROM jobs
            WHERE ord IS NULL AND state = 'scheduled' AND run_at <= now()
            ORDER BY run_at LIMIT $3 FOR UPDATE SKIP LOCKED
        ), freed AS MATERIALIZED (
            SELECT tier, id FROM jobs
            WHERE ord IS NULL AND state = 'blocked' AND run_at = 'infinity'
              AND (job_type = ANY ($2) OR expires_at <= now())
            LIMIT $3 FOR UPDATE SKIP LOCKED
        ), promoted AS (
            UPDATE jobs j
            SET state = 'ready', ord = nextval('ready_seq'), run_at = least(j.run_at, now())
            FROM (SELECT * FROM due UNION ALL SELECT * FROM freed) AS p
            WHERE j.tier = p.tier AND j.id = p.id
            RETURNING j.queue
        )
        SELECT ARRAY(
                   SELECT queue FROM promoted
                   UNION
                   SELECT q.queue FROM unnest($1::text[]) AS q (queue)
                   WHERE EXISTS (SELECT FROM jobs r WHERE r.queue = q.queue AND r.ord IS NOT NULL AND r.lease IS NULL)
               ) AS "ready!",
               CASE WHEN (SELECT count(*) FROM due) >= $3 OR (SELECT count(*) FROM freed) >= $3 THEN 0
                    ELSE (SELECT extract(epoch FROM min(run_at) - now()) FROM jobs
                          WHERE ord IS NULL AND run_at > now() AND run_at < 'infinity')
               END::float8 AS next_due
        "#,
        queues,
        served,
        PROMOTE_BATCH,
    )
    .fetch_one(db)
    .await?;
    let next_due = row.next_due.map(|secs| Duration::from_secs_f64(secs.clamp(0.0, 86_400.0)));
    Ok(Poll { ready: row.ready, next_due })
}

/// A dead node's jobs become ready again; the attempt that the node took down with it is given back, and counted.
pub async fn reap_node(db: &mut PgConnection, tier: Tier, node: NodeId) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        UPDATE jobs
        SET state = 'ready', ord = nextval('ready_seq'), lease = NULL, node = NULL, claimed_at = NULL,
            attempt = attempt - 1, reaps = reaps + 1
        WHERE tier = $1 AND node = $2 AND state = 'running'
        RETURNING queue
        "#,
        tier.as_i16(),
        node.0,
    )
    .fetch_all(db)
    .await
}

/// Running jobs of nodes that have no row any more. A node writes its row before its first claim.
pub async fn reap_orphans(db: &mut PgConnection, tier: Tier) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        UPDATE jobs j
        SET state = 'ready', ord = nextval('ready_seq'), lease = NULL, node = NULL, claimed_at = NULL,
            attempt = attempt - 1, reaps = reaps + 1
        WHERE tier = $1 AND state = 'running' AND NOT EXISTS (SELECT FROM nodes n WHERE n.id = j.node)
        RETURNING queue
        "#,
        tier.as_i16(),
    )
    .fetch_all(db)
    .await
}

/// Jobs that the table says this node runs and that it does not (a claim whose answer was lost): given back.
pub async fn return_strays(
    db: &mut PgConnection,
    tier: Tier,
    node: NodeId,
    running: &[Uuid],
    claimed_before: Duration,
) -> sqlx::Result<Vec<JobId>> {
    let ids = sqlx::query_scalar!(
        r#"
        UPDATE jobs
        SET state = 'ready', ord = nextval('ready_seq'), lease = NULL, node = NULL, claimed_at = NULL,
            attempt = attempt - 1
        WHERE tier = $1 AND node = $2 AND state = 'running' AND id <> ALL ($3)
          AND claimed_at < now() - make_interval(secs => $4)
        RETURNING id
        "#,
        tier.as_i16(),
        node.0,
        running,
        claimed_before.as_secs_f64(),
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// Day partitions of the archive, made ahead. Returns how many were made.
pub async fn make_archive_days(db: &mut PgConnection, first: NaiveDate, days: i32) -> sqlx::Result<i32> {
    let made =
        sqlx::query_scalar!(r#"SELECT usher_make_archive_days($1, $2) AS "made!""#, first, days).fetch_one(db).await?;
    Ok(made)
}
