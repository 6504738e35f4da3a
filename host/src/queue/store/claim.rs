use std::time::Duration;

use sqlx::{PgConnection, postgres::types::PgInterval};

use crate::{
    ids::{Digest, JobId, Lease, NodeId, Tier},
    queue::{
        cursors::{Found, Look},
        lanes::ALONE,
    },
};

/// A job that this node holds now.
#[derive(Debug)]
pub struct Claimed {
    pub id: JobId,
    pub tier: Tier,
    pub lease: Lease,
    pub tenant: String,
    pub job_type: String,
    pub queue: String,
    pub subject: String,
    pub payload: String,
    /// This one included.
    pub attempt: i32,
    pub max_attempts: i32,
    pub snoozes: i32,
    pub reaps: i32,
    /// Claims of it, this one included; unlike `attempt`, never given back.
    pub runs: i32,
    /// Of its next effects.
    pub generation: i32,
    pub accepted_by: Option<Digest>,
    /// A redrive chose this release.
    pub pinned: Option<Digest>,
    /// By the clock of Postgres.
    pub expired: bool,
    pub cancel_requested: bool,
    /// Where its row is on disk.
    pub place: Option<String>,
    /// It took nodes down with it and is run alone.
    pub alone: bool,
    /// How long it was ready, or due, by the clock of Postgres.
    pub waited: Duration,
}

impl Claimed {
    /// Nobody has run it before, so it has no journal.
    pub fn is_first_run(&self) -> bool {
        self.runs == 1
    }
}

/// Up to `limit` ready jobs of one queue under one fresh lease, look by look, each in order. What each look found comes
/// beside. The update touches no indexed column, so it is HOT; a paused queue gives nothing. Jobs of the types `but` are
/// left to others, unless all that is to be done is to end them.
pub async fn claim(
    db: &mut PgConnection,
    tier: Tier,
    queue: &str,
    node: NodeId,
    limit: u32,
    looks: &[Look],
    but: &[String],
) -> sqlx::Result<(Vec<Claimed>, Vec<Found>)> {
    let lease = Lease::random();
    let rows = sqlx::query!(
        r#"
        WITH p AS MATERIALIZED (
            SELECT * FROM unnest($3::smallint[], $4::smallint[], $5::bigint[], $6::int[])
                 WITH ORDINALITY AS p (priority, lane, cursor, most, n)
            WHERE NOT EXISTS (SELECT FROM queues q WHERE q.name = $2 AND q.paused)
        ), c AS MATERIALIZED (
            SELECT p.n, x.at, x.ord
            FROM p CROSS JOIN LATERAL (
                SELECT j.ctid AS at, j.ord
                FROM jobs j
                WHERE j.tier = $1 AND j.queue = $2 AND j.priority = p.priority AND j.lane = p.lane
                  AND j.ord > p.cursor AND j.ord IS NOT NULL AND j.lease IS NULL
                  -- CASE: the planner must not guess how few are left and sort them all, in place of following the index.
                  AND CASE WHEN j.job_type = ANY ($10) THEN j.cancel_requested OR j.expires_at <= now() ELSE true END
                ORDER BY j.ord
                LIMIT p.most
                FOR UPDATE SKIP LOCKED
            ) AS x
            LIMIT $7
        )
        UPDATE jobs j
        SET state = 'running', attempt = attempt + 1, runs = runs + 1, node = $8, lease = $9, claimed_at = now()
        FROM c
        WHERE j.tier = $1 AND j.ctid = c.at
        RETURNING j.id, j.tenant, j.job_type, j.subject, j.payload, j.attempt, j.max_attempts, j.snoozes, j.reaps,
                  j.runs, j.generation, j.accepted_by, j.pinned, j.expires_at <= now() AS "expired!", j.cancel_requested, j.ctid::text AS place, j.lane, c.n AS "n!",
                  CASE WHEN j.run_at < now() THEN now() - j.run_at END AS waited,
                  c.ord AS "ord!"
        "#,
        tier.as_i16(),
        queue,
        &looks.iter().map(|look| look.priority).collect::<Vec<_>>(),
        &looks.iter().map(|look| look.lane).collect::<Vec<_>>(),
        &looks.iter().map(|look| look.cursor).collect::<Vec<_>>(),
        &looks.iter().map(|look| look.most).collect::<Vec<_>>(),
        i64::from(limit),
        node.0,
        lease.0,
        but,
    )
    .fetch_all(db)
    .await?;
    let mut found = vec![Found::default(); looks.len()];
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        // WITH ORDINALITY counts from 1.
        if let Some(found) = usize::try_from(row.n - 1).ok().and_then(|n| found.get_mut(n)) {
            found.jobs += 1;
            found.last = found.last.max(row.ord);
        }
        let job = Claimed {
            id: JobId(row.id),
            tier,
            lease,
            tenant: row.tenant,
            job_type: row.job_type,
            queue: queue.to_owned(),
            subject: row.subject,
            payload: row.payload,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            snoozes: row.snoozes,
            reaps: row.reaps,
            runs: row.runs,
            generation: row.generation,
            accepted_by: row.accepted_by.as_deref().and_then(Digest::from_slice),
            pinned: row.pinned.as_deref().and_then(Digest::from_slice),
            expired: row.expired,
            cancel_requested: row.cancel_requested,
            place: row.place,
            alone: row.lane == ALONE,
            waited: row.waited.map(duration).unwrap_or_default(),
        };
        claimed.push((row.n, row.ord, job));
    }
    // An UPDATE returns rows in no promised order.
    claimed.sort_unstable_by_key(|(n, ord, _)| (*n, *ord));
    Ok((claimed.into_iter().map(|(_, _, job)| job).collect(), found))
}

/// Differences of times have no months.
fn duration(interval: PgInterval) -> Duration {
    let days = u64::try_from(interval.days).unwrap_or(0);
    Duration::from_secs(days * 86_400) + Duration::from_micros(u64::try_from(interval.microseconds).unwrap_or(0))
}
