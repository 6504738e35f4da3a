use std::time::Duration;

use sqlx::PgConnection;

use crate::ids::Tier;

/// How long the oldest job that could be claimed has been ready, of each queue where one waits. From the front, since the claims'
/// cursors pass by what is paused and what no node serves: under somebody's open transaction the dead entries there take time.
pub async fn oldest_ready(db: &mut PgConnection, queues: &[(String, Tier)]) -> sqlx::Result<Vec<(String, Duration)>> {
    let rows = sqlx::query!(
        r#"
        SELECT q.queue AS "queue!", date_part('epoch', now() - min(x.run_at)) AS "age!"
        FROM unnest($1::text[], $2::smallint[]) AS q (queue, tier)
        CROSS JOIN unnest(ARRAY[10, 7, 5, 3, 1]::smallint[]) AS p (priority)
        -- The lanes, and the one of jobs that run alone.
        CROSS JOIN (SELECT n::smallint AS lane FROM generate_series(0, 16) AS n UNION ALL SELECT 99::smallint) AS l
        CROSS JOIN LATERAL (
            SELECT j.run_at
            FROM jobs j
            WHERE j.tier = q.tier AND j.queue = q.queue AND j.priority = p.priority AND j.lane = l.lane
              AND j.ord IS NOT NULL AND j.lease IS NULL
            ORDER BY j.ord
            LIMIT 1
        ) AS x
        GROUP BY q.queue
        "#,
        &queues.iter().map(|(queue, _)| queue.clone()).collect::<Vec<_>>(),
        &queues.iter().map(|(_, tier)| tier.as_i16()).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.queue, Duration::from_secs_f64(row.age.clamp(0.0, 1e9)))).collect())
}
