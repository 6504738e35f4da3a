use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::queue::Tally;

/// Adds what ended to the counts of today (UTC).
pub async fn add_finished(db: &mut PgConnection, finished: &Tally) -> sqlx::Result<()> {
    let mut rows: Vec<_> = finished.iter().collect();
    // One order of locks for all nodes.
    rows.sort_unstable();
    sqlx::query!(
        r#"
        INSERT INTO queue_finished AS f (day, queue, state, count)
        SELECT (now() AT TIME ZONE 'UTC')::date, u.queue, u.state, u.count
        FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (queue, state, count)
        ON CONFLICT (day, queue, state) DO UPDATE SET count = f.count + excluded.count
        "#,
        &rows.iter().map(|(queue, _, _)| (*queue).to_owned()).collect::<Vec<_>>(),
        &rows.iter().map(|(_, state, _)| (*state).to_owned()).collect::<Vec<_>>(),
        &rows.iter().map(|(_, _, count)| i64::try_from(*count).unwrap_or(i64::MAX)).collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Looks at the live jobs of these queues, at no more than `most` in each way. What runs is told by the nodes: the table
/// cannot say it without a scan.
pub async fn sample_counts(
    db: &mut PgConnection,
    queues: &[String],
    running: &BTreeMap<String, i64>,
    most: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        WITH ready AS (
            SELECT q.queue, c.count, c.estimated, least(q.running, c.count) AS running
            FROM unnest($1::text[], $2::bigint[]) AS q (queue, running), usher_count_ready(q.queue, $3) AS c
        ), rest AS (
            -- By the three indexes that hold what has no place in the queue.
            (SELECT queue, state, 'due' AS way FROM jobs WHERE ord IS NULL AND waits IS NULL ORDER BY run_at LIMIT $3)
            UNION ALL
            (SELECT queue, state, 'slot' FROM jobs WHERE waits = 'slot' ORDER BY queue, job_type LIMIT $3)
            UNION ALL
            (SELECT queue, state, 'turn' FROM jobs WHERE ordering_key IS NOT NULL AND waits = 'turn' LIMIT $3)
        ), full_ AS (
            SELECT way FROM rest GROUP BY way HAVING count(*) >= $3
        ), counted AS (
            SELECT queue, 'ready' AS state, count - running AS count, estimated FROM ready
            UNION ALL
            SELECT queue, 'running', running, false FROM ready
            UNION ALL
            SELECT q.queue, s.state, count(r.queue), count(f.way) > 0
            FROM unnest($1::text[]) AS q (queue)
            CROSS JOIN (VALUES ('scheduled', 'scheduled'), ('blocked', 'blocked'), ('parked', 'dead')) AS s (state, stored)
            LEFT JOIN rest r ON r.queue = q.queue AND r.state = s.stored
            LEFT JOIN full_ f ON f.way = r.way
            GROUP BY 1, 2
        )
        INSERT INTO queue_counts (queue, state, count, estimated)
        SELECT queue, state, count, estimated FROM counted
        ON CONFLICT (queue, state) DO UPDATE
        SET count = excluded.count, estimated = excluded.estimated, sampled_at = now()
        "#,
        queues,
        &queues.iter().map(|queue| running.get(queue).copied().unwrap_or(0)).collect::<Vec<_>>(),
        most,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many jobs of a queue are in a state.
#[derive(Debug)]
pub struct Count {
    pub queue: String,
    pub state: String,
    pub count: i64,
    pub estimated: bool,
    /// `None`: of those that ended today, counted as they end.
    pub sampled_at: Option<DateTime<Utc>>,
}

pub async fn counts(db: &mut PgConnection) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as!(
        Count,
        r#"
        SELECT queue AS "queue!", state AS "state!", count AS "count!", estimated AS "estimated!", sampled_at FROM queue_counts
        UNION ALL
        SELECT queue, state, count, false, NULL FROM queue_finished WHERE day = (now() AT TIME ZONE 'UTC')::date
        "#
    )
    .fetch_all(db)
    .await
}
