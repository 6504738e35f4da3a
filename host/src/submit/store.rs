//! The one statement over tables of two rooms below: round trips are what a small batch costs most.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::PreparedJob;
use crate::{
    ids::{JobId, Tier},
    queue::{Lanes, Ready},
};

/// What the short way took.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub jobs: Vec<JobId>,
    pub ready: Vec<Ready>,
}

/// Nothing follows this job's row but its key: no line, no second key, no key of an old service, no parent.
pub(super) fn is_simple(job: &PreparedJob) -> bool {
    let row = &job.row;
    job.keys.len() <= 1
        && job.old_keys.is_empty()
        && row.ordering_key.is_none()
        && row.parent.is_none()
        && row.delay_ms == 0
}

/// Keys and simple jobs in one statement, which is a transaction by itself, durable as its tier says. Jobs whose key is
/// held, and those under a limit, are left for the long way.
pub(super) async fn insert(
    db: &mut PgConnection,
    tier: Tier,
    synchronous_commit: &str,
    jobs: &[&PreparedJob],
    lanes: &Lanes,
) -> sqlx::Result<Taken> {
    macro_rules! column {
        ($row:ident => $value:expr) => {
            jobs.iter().map(|job| &job.row).map(|$row| $value).collect::<Vec<_>>()
        };
    }
    let places = sqlx::query!(
        r#"
        -- For this statement only; a batch must not stand behind somebody's forgotten transaction.
        WITH s AS MATERIALIZED (
            SELECT set_config('synchronous_commit', $2, true), set_config('lock_timeout', '250', true),
                   (SELECT array_agg(scope) FROM limits) AS scopes
        ), w AS MATERIALIZED (
            SELECT u.*, coalesce(u.run_at, now()) AS due
            FROM s, unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::smallint[],
                           $9::timestamptz[], $10::boolean[], $11::int[], $12::text[], $13::text[], $14::text[],
                           $15::bytea[], $16::text[], $17::bigint[], $18::bytea[], $19::bytea[], $20::bigint[])
                 WITH ORDINALITY
                 AS u (id, tenant, job_type, queue, priority, lane, run_at, blocked, max_attempts, payload, metadata,
                       subject, accepted_by, key, key_ttl_ms, key_hash, payload_hash, expires_in_ms, n)
            WHERE s.scopes IS NULL
               OR NOT ARRAY['queue/' || u.queue, 'type/' || u.job_type, 'node/type/' || u.job_type] && s.scopes
        ), k AS (
            INSERT INTO idempotency_keys (tier, tenant, job_type, key_hash, job_id, payload_hash)
            SELECT $1, w.tenant, w.job_type, w.key_hash, w.id, w.payload_hash
            FROM w WHERE w.key_hash IS NOT NULL
            -- The lock order of all batches, which sort by bytes.
            ORDER BY w.tenant COLLATE "C", w.job_type COLLATE "C", w.key_hash
            ON CONFLICT DO NOTHING
            RETURNING job_id
        ), i AS (
            INSERT INTO jobs (tier, id, tenant, job_type, queue, priority, lane, ord, run_at, state, max_attempts,
                              payload, metadata, subject, accepted_by, idempotency_key, key_ttl_ms, key_hashes,
                              expires_at)
            SELECT $1, n.id, n.tenant, n.job_type, n.queue, n.priority, n.lane,
                   CASE WHEN NOT n.blocked AND n.due <= now() THEN nextval('ready_seq') END,
                   CASE WHEN n.blocked THEN 'infinity' ELSE n.due END,
                   CASE WHEN n.blocked THEN 'blocked' WHEN n.due <= now() THEN 'ready' ELSE 'scheduled' END,
                   n.max_attempts, n.payload, n.metadata, n.subject, n.accepted_by, n.key, n.key_ttl_ms, n.key_hash,
                   greatest(n.due, now()) + n.expires_in_ms * interval '1 millisecond'
            -- The order of submits is the order in the queue.
            FROM (SELECT * FROM w WHERE w.key_hash IS NULL OR w.id IN (SELECT job_id FROM k) ORDER BY w.n) AS n
            RETURNING id, tenant, job_type, state, queue, priority, lane, ord
        ), o AS (
            INSERT INTO outbox (tenants, job_ids, job_types, events)
            SELECT array_agg(i.tenant), array_agg(i.id), array_agg(i.job_type), array_agg('job.' || i.state)
            -- Asked once a statement: what nobody follows is not written.
            FROM i WHERE (SELECT until > now() FROM event_log) HAVING count(*) > 0
        )
        SELECT queue AS "queue!", priority AS "priority!", lane AS "lane!", min(ord) AS ord, array_agg(id) AS "ids!"
        FROM i GROUP BY 1, 2, 3
        "#,
        tier.as_i16(),
        synchronous_commit,
        &column!(r => r.id.0),
        &column!(r => r.tenant.clone()),
        &column!(r => r.job_type.clone()),
        &column!(r => r.queue.clone()),
        &column!(r => r.priority.as_i16()),
        &column!(r => lanes.assign(&r.queue, &r.tenant)),
        &column!(r => r.run_at) as &[Option<DateTime<Utc>>],
        &column!(r => r.blocked),
        &column!(r => r.max_attempts),
        &column!(r => r.payload.clone()),
        &column!(r => r.metadata.clone()) as &[Option<String>],
        &column!(r => r.subject.clone()),
        &column!(r => r.accepted_by.map(|d| d.as_bytes().to_vec())) as &[Option<Vec<u8>>],
        &column!(r => r.idempotency_key.clone()) as &[Option<String>],
        &column!(r => r.key_ttl_ms) as &[Option<i64>],
        &column!(r => r.key_hashes.clone()) as &[Option<Vec<u8>>],
        &jobs.iter().map(|job| job.payload_hash.to_vec()).collect::<Vec<_>>(),
        &column!(r => r.expires_in_ms),
    )
    .fetch_all(db)
    .await?;
    let mut taken = Taken::default();
    for place in places {
        taken.jobs.extend(place.ids.into_iter().map(|id: Uuid| JobId(id)));
        taken.ready.extend(place.ord.map(|ord| Ready {
            queue: place.queue,
            priority: place.priority,
            lane: place.lane,
            ord,
        }));
    }
    Ok(taken)
}
