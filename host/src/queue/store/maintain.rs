use std::time::Duration;

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use super::limits::{Freed, Line, go_on};
use crate::{
    ids::{NodeId, Tier},
    queue::{ALONE, Ready},
};

/// What a look into the tables found.
#[derive(Debug, Default)]
pub struct Poll {
    /// Places with jobs that may be claimed.
    pub ready: Vec<Ready>,
    /// Until the next job falls due.
    pub next_due: Option<Duration>,
    /// Where the sequence of places stands.
    pub head: i64,
    /// Jobs that came in by SQL wait to be checked.
    pub unchecked: bool,
}

/// Most jobs that one look makes ready.
const PROMOTE_BATCH: i64 = 1_000;

/// Makes due jobs ready, and blocked ones whose type this node serves or whose time is over; says where there is work,
/// looking only beyond the cursors. One statement, since an idle node runs it every few seconds.
pub async fn poll(db: &mut PgConnection, cursors: &[Ready], served: &[String]) -> sqlx::Result<Poll> {
    let row = sqlx::query!(
        r#"
        WITH due AS MATERIALIZED (
            SELECT tier, id, limited FROM jobs
            WHERE ord IS NULL AND state = 'scheduled' AND run_at <= now() AND NOT unchecked
            ORDER BY run_at LIMIT $6 FOR UPDATE SKIP LOCKED
        ), freed AS MATERIALIZED (
            SELECT tier, id, limited, ordering_key FROM jobs
            WHERE ord IS NULL AND state = 'blocked' AND run_at = 'infinity' AND waits IS NULL
              AND (job_type = ANY ($5) OR expires_at <= now())
            LIMIT $6 FOR UPDATE SKIP LOCKED
        ), promoted AS (
            UPDATE jobs j
            SET state  = CASE WHEN p.waits IS NULL THEN 'ready' ELSE 'blocked' END,
                waits  = p.waits,
                ord    = CASE WHEN p.waits IS NULL THEN nextval('ready_seq') END,
                run_at = CASE WHEN p.waits IS NULL THEN least(j.run_at, now()) ELSE 'infinity' END
            FROM (
                -- One that was put off has its turn; one that waited for a release has not.
                SELECT tier, id, CASE WHEN limited THEN 'slot' END AS waits FROM due
                UNION ALL
                SELECT tier, id, CASE WHEN ordering_key IS NOT NULL THEN 'turn' WHEN limited THEN 'slot' END FROM freed
            ) AS p
            WHERE j.tier = p.tier AND j.id = p.id
            RETURNING j.queue, j.tenant, j.ordering_key, j.priority, j.lane, j.ord, j.waits
        ), found AS (
            SELECT queue, priority, lane, min(ord) AS ord FROM promoted WHERE ord IS NOT NULL GROUP BY 1, 2, 3
            UNION ALL
            SELECT c.queue, c.priority, c.lane, x.ord
            FROM unnest($1::text[], $2::smallint[], $3::smallint[], $4::bigint[]) AS c (queue, priority, lane, ord)
            CROSS JOIN LATERAL (
                SELECT r.ord FROM jobs r
                WHERE r.queue = c.queue AND r.priority = c.priority AND r.lane = c.lane AND r.ord > c.ord
                  AND r.ord IS NOT NULL AND r.lease IS NULL
                ORDER BY r.ord LIMIT 1
            ) AS x
        )
        SELECT ARRAY(SELECT queue FROM found) AS "queues!", ARRAY(SELECT priority FROM found) AS "priorities!",
               ARRAY(SELECT lane FROM found) AS "lanes!", ARRAY(SELECT ord FROM found) AS "ords!",
               CASE WHEN (SELECT count(*) FROM due) >= $6 OR (SELECT count(*) FROM freed) >= $6 THEN 0
                    ELSE (SELECT extract(epoch FROM min(run_at) - now()) FROM jobs
                          WHERE ord IS NULL AND run_at > now() AND run_at < 'infinity' AND NOT unchecked)
               END::float8 AS next_due,
               (SELECT last_value FROM ready_seq) AS "head!",
               EXISTS (SELECT FROM jobs WHERE unchecked) AS "unchecked!",
               EXISTS (SELECT FROM jobs WHERE waits = 'slot') OR EXISTS (SELECT FROM promoted WHERE waits IS NOT NULL)
                   AS "slots!",
               ARRAY(SELECT queue FROM promoted WHERE waits = 'turn') AS "line_queues!",
               ARRAY(SELECT tenant FROM promoted WHERE waits = 'turn') AS "line_tenants!",
               ARRAY(SELECT ordering_key FROM promoted WHERE waits = 'turn') AS "line_keys!"
        "#,
        &cursors.iter().map(|at| at.queue.clone()).collect::<Vec<_>>(),
        &cursors.iter().map(|at| at.priority).collect::<Vec<_>>(),
        &cursors.iter().map(|at| at.lane).collect::<Vec<_>>(),
        &cursors.iter().map(|at| at.ord).collect::<Vec<_>>(),
        served,
        PROMOTE_BATCH,
    )
    .fetch_one(&mut *db)
    .await?;
    let lines = row.line_queues.into_iter().zip(row.line_tenants).zip(row.line_keys);
    let lines = lines.map(|((queue, tenant), key)| Line { queue, tenant, key }).collect();
    let gone_on = go_on(db, &Freed { lines, slots: row.slots }).await?;
    let places = row.queues.into_iter().zip(row.priorities).zip(row.lanes).zip(row.ords);
    let mut ready: Vec<_> =
        places.map(|(((queue, priority), lane), ord)| Ready { queue, priority, lane, ord }).collect();
    ready.extend(gone_on);
    let next_due = row.next_due.map(|secs| Duration::from_secs_f64(secs.clamp(0.0, 86_400.0)));
    Ok(Poll { ready, next_due, head: row.head, unchecked: row.unchecked })
}

/// Where the sequence of places stands.
pub async fn head(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("SELECT last_value FROM ready_seq").fetch_one(db).await
}

/// Keeps the cursors for the next claimer of these queues.
pub async fn save_cursors(db: &mut PgConnection, cursors: &[Ready]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO claim_cursors (queue, priority, lane, ord)
        SELECT * FROM unnest($1::text[], $2::smallint[], $3::smallint[], $4::bigint[]) AS c (queue, priority, lane, ord)
        ORDER BY 1, 2, 3
        ON CONFLICT (queue, priority, lane) DO UPDATE SET ord = excluded.ord WHERE claim_cursors.ord < excluded.ord
        "#,
        &cursors.iter().map(|at| at.queue.clone()).collect::<Vec<_>>(),
        &cursors.iter().map(|at| at.priority).collect::<Vec<_>>(),
        &cursors.iter().map(|at| at.lane).collect::<Vec<_>>(),
        &cursors.iter().map(|at| at.ord).collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Where the last claimers stood.
pub async fn saved_cursors(db: &mut PgConnection) -> sqlx::Result<Vec<Ready>> {
    sqlx::query_as!(Ready, "SELECT queue, priority, lane, ord FROM claim_cursors").fetch_all(db).await
}

/// Jobs that took this many nodes down with them are run alone.
const ALONE_AFTER: i32 = 2;

/// A dead node's jobs become ready again; the attempt that the node took down with it is given back, and counted.
pub async fn reap_node(db: &mut PgConnection, tier: Tier, node: NodeId) -> sqlx::Result<Vec<Ready>> {
    sqlx::query_as!(
        Ready,
        r#"
        UPDATE jobs
        SET state = 'ready', ord = nextval('ready_seq'), lease = NULL, node = NULL, claimed_at = NULL,
            attempt = attempt - 1, reaps = reaps + 1, lane = CASE WHEN reaps + 1 >= $3 THEN $4 ELSE lane END
        WHERE tier = $1 AND node = $2 AND state = 'running'
        RETURNING queue, priority, lane, ord AS "ord!"
        "#,
        tier.as_i16(),
        node.0,
        ALONE_AFTER,
        ALONE,
    )
    .fetch_all(db)
    .await
}

/// Running jobs of nodes that have no row any more. A node writes its row before its first claim.
pub async fn reap_orphans(db: &mut PgConnection, tier: Tier) -> sqlx::Result<Vec<Ready>> {
    sqlx::query_as!(
        Ready,
        r#"
        UPDATE jobs j
        SET state = 'ready', ord = nextval('ready_seq'), lease = NULL, node = NULL, claimed_at = NULL,
            attempt = attempt - 1, reaps = reaps + 1, lane = CASE WHEN reaps + 1 >= $2 THEN $3 ELSE lane END
        WHERE tier = $1 AND state = 'running' AND NOT EXISTS (SELECT FROM nodes n WHERE n.id = j.node)
        RETURNING queue, priority, lane, ord AS "ord!"
        "#,
        tier.as_i16(),
        ALONE_AFTER,
        ALONE,
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
) -> sqlx::Result<Vec<Ready>> {
    sqlx::query_as!(
        Ready,
        r#"
        UPDATE jobs
        SET state = 'ready', ord = nextval('ready_seq'), lease = NULL, node = NULL, claimed_at = NULL,
            attempt = attempt - 1
        WHERE tier = $1 AND node = $2 AND state = 'running' AND id <> ALL ($3)
          AND claimed_at < now() - make_interval(secs => $4)
        RETURNING queue, priority, lane, ord AS "ord!"
        "#,
        tier.as_i16(),
        node.0,
        running,
        claimed_before.as_secs_f64(),
    )
    .fetch_all(db)
    .await
}

/// Day partitions of the archive, made ahead. Returns how many were made.
pub async fn make_archive_days(db: &mut PgConnection, first: NaiveDate, days: i32) -> sqlx::Result<i32> {
    let made =
        sqlx::query_scalar!(r#"SELECT usher_make_archive_days($1, $2) AS "made!""#, first, days).fetch_one(db).await?;
    Ok(made)
}
