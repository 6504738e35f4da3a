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
    /// Jobs wait for a slot of a limit.
    pub slots: bool,
    /// Due or freed jobs must wait for their turn or for a slot.
    pub stand_in_line: bool,
}

/// Most jobs that one look makes ready.
const PROMOTE_BATCH: i64 = 1_000;

/// Makes due jobs ready, and blocked ones whose type this node serves or whose time is over; says where there is work,
/// looking only beyond the cursors. One statement, since an idle node runs it every few seconds.
pub async fn poll(db: &mut PgConnection, cursors: &[Ready], served: &[String]) -> sqlx::Result<Poll> {
    let row = sqlx::query!(
        r#"
        WITH due AS MATERIALIZED (
            SELECT tier, id FROM jobs
            WHERE ord IS NULL AND waits IS NULL AND state = 'scheduled' AND run_at <= now() AND NOT unchecked AND NOT limited
            ORDER BY run_at LIMIT $6 FOR UPDATE SKIP LOCKED
        ), freed AS MATERIALIZED (
            SELECT tier, id FROM jobs
            WHERE ord IS NULL AND waits IS NULL AND state = 'blocked' AND run_at = 'infinity'
              AND (job_type = ANY ($5) OR expires_at <= now()) AND NOT limited AND ordering_key IS NULL
            LIMIT $6 FOR UPDATE SKIP LOCKED
        ), promoted AS (
            UPDATE jobs j
            SET state = 'ready', ord = nextval('ready_seq'), run_at = least(j.run_at, now())
            FROM (SELECT * FROM due UNION ALL SELECT * FROM freed) AS p
            WHERE j.tier = p.tier AND j.id = p.id
            RETURNING j.queue, j.priority, j.lane, j.ord
        ), found AS (
            SELECT queue, priority, lane, min(ord) AS ord FROM promoted GROUP BY 1, 2, 3
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
                          WHERE ord IS NULL AND waits IS NULL AND run_at > now() AND run_at < 'infinity'
                            AND NOT unchecked)
               END::float8 AS next_due,
               (SELECT last_value FROM ready_seq) AS "head!",
               EXISTS (SELECT FROM jobs WHERE unchecked) AS "unchecked!",
               EXISTS (SELECT FROM jobs WHERE waits = 'slot') AS "slots!",
               EXISTS (SELECT FROM jobs
                       WHERE ord IS NULL AND waits IS NULL AND limited AND state = 'scheduled' AND run_at <= now()
                         AND NOT unchecked)
               OR EXISTS (SELECT FROM jobs
                          WHERE ord IS NULL AND waits IS NULL AND state = 'blocked' AND run_at = 'infinity'
                            AND (job_type = ANY ($5) OR expires_at <= now()) AND (limited OR ordering_key IS NOT NULL))
                   AS "stand_in_line!"
        "#,
        &cursors.iter().map(|at| at.queue.clone()).collect::<Vec<_>>(),
        &cursors.iter().map(|at| at.priority).collect::<Vec<_>>(),
        &cursors.iter().map(|at| at.lane).collect::<Vec<_>>(),
        &cursors.iter().map(|at| at.ord).collect::<Vec<_>>(),
        served,
        PROMOTE_BATCH,
    )
    .fetch_one(db)
    .await?;
    let places = row.queues.into_iter().zip(row.priorities).zip(row.lanes).zip(row.ords);
    let ready = places.map(|(((queue, priority), lane), ord)| Ready { queue, priority, lane, ord }).collect();
    let next_due = row.next_due.map(|secs| Duration::from_secs_f64(secs.clamp(0.0, 86_400.0)));
    Ok(Poll {
        ready,
        next_due,
        head: row.head,
        unchecked: row.unchecked,
        slots: row.slots,
        stand_in_line: row.stand_in_line,
    })
}

/// Due and freed jobs with an ordering key or a limit go where they have to wait; those that need not are ready. In a
/// transaction, so that nobody is left waiting whom nobody will call.
pub async fn stand_in_line(db: &mut PgConnection, served: &[String]) -> sqlx::Result<Vec<Ready>> {
    let rows = sqlx::query!(
        r#"
        UPDATE jobs j
        -- One that was put off has its turn; one that waited for a release has not.
        SET waits = CASE WHEN j.state = 'blocked' AND j.ordering_key IS NOT NULL THEN 'turn' ELSE 'slot' END,
            state = 'blocked', run_at = 'infinity'
        FROM (
            SELECT tier, id FROM jobs
            WHERE ord IS NULL AND waits IS NULL AND NOT unchecked AND (limited OR ordering_key IS NOT NULL)
              AND (state = 'scheduled' AND run_at <= now() AND limited
                   OR state = 'blocked' AND run_at = 'infinity' AND (job_type = ANY ($1) OR expires_at <= now()))
            LIMIT $2 FOR UPDATE SKIP LOCKED
        ) AS p
        WHERE j.tier = p.tier AND j.id = p.id
        RETURNING j.queue, j.tenant, j.ordering_key, j.waits
        "#,
        served,
        PROMOTE_BATCH,
    )
    .fetch_all(&mut *db)
    .await?;
    let lines = rows.into_iter().filter(|row| row.waits.as_deref() == Some("turn"));
    let lines = lines.filter_map(|row| Some(Line { queue: row.queue, tenant: row.tenant, key: row.ordering_key? }));
    go_on(db, &Freed { lines: lines.collect(), slots: true }).await
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
