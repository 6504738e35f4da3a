use sqlx::PgConnection;

use crate::ids::{Digest, JobId, Lease, NodeId, Tier};

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
    pub accepted_by: Option<Digest>,
    /// By the clock of Postgres.
    pub expired: bool,
}

impl Claimed {
    /// Nobody has run it before, so it has no journal.
    pub fn is_first_run(&self) -> bool {
        self.attempt == 1 && self.snoozes == 0 && self.reaps == 0
    }
}

/// Up to `limit` ready jobs of one queue under one fresh lease, highest priority first, then in order.
/// The update touches no indexed column, so it is HOT.
pub async fn claim(
    db: &mut PgConnection,
    tier: Tier,
    queue: &str,
    node: NodeId,
    limit: u32,
) -> sqlx::Result<Vec<Claimed>> {
    let lease = Lease::random();
    let rows = sqlx::query!(
        r#"
        WITH c AS MATERIALIZED (
            SELECT id, priority, ord
            FROM jobs
            WHERE tier = $1 AND queue = $2 AND ord IS NOT NULL AND lease IS NULL
            ORDER BY priority DESC, lane, ord
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        )
        UPDATE jobs j
        SET state = 'running', attempt = attempt + 1, node = $4, lease = $5, claimed_at = now()
        FROM c
        WHERE j.tier = $1 AND j.id = c.id
        RETURNING j.id, j.tenant, j.job_type, j.subject, j.payload, j.attempt, j.max_attempts, j.snoozes, j.reaps,
                  j.accepted_by, j.expires_at <= now() AS "expired!", c.priority AS "priority!", c.ord AS "ord!"
        "#,
        tier.as_i16(),
        queue,
        i64::from(limit),
        node.0,
        lease.0,
    )
    .fetch_all(db)
    .await?;
    let mut claimed: Vec<_> = rows
        .into_iter()
        .map(|row| {
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
                accepted_by: row.accepted_by.as_deref().and_then(Digest::from_slice),
                expired: row.expired,
            };
            (-row.priority, row.ord, job)
        })
        .collect();
    // An UPDATE returns rows in no promised order.
    claimed.sort_unstable_by_key(|(priority, ord, _)| (*priority, *ord));
    Ok(claimed.into_iter().map(|(_, _, job)| job).collect())
}
