use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::limits::{Freed, Line, go_on};
use crate::{
    ids::{Digest, JobId, Priority, Tier},
    queue::{Lanes, Ready},
};

/// A checked job, about to become a row.
#[derive(Clone, Debug)]
pub struct NewRow {
    pub id: JobId,
    pub tenant: String,
    pub job_type: String,
    pub queue: String,
    pub priority: Priority,
    /// Not before; `None`: now.
    pub run_at: Option<DateTime<Utc>>,
    /// Not before this long after the commit's moment; for children.
    pub delay_ms: i64,
    /// Nothing serves the type now.
    pub blocked: bool,
    pub max_attempts: i32,
    pub payload: String,
    pub metadata: Option<String>,
    pub subject: String,
    pub parent: Option<JobId>,
    pub accepted_by: Option<Digest>,
    pub idempotency_key: Option<String>,
    pub key_ttl_ms: Option<i64>,
    pub ordering_key: Option<String>,
    /// 32 bytes each, one after another.
    pub key_hashes: Option<Vec<u8>>,
    /// From now, or from `run_at` where that is later.
    pub expires_in_ms: i64,
}

/// One statement for all rows of a tier; says where they became ready. Postgres's clock decides what is due.
pub async fn insert(db: &mut PgConnection, tier: Tier, rows: &[&NewRow], lanes: &Lanes) -> sqlx::Result<Vec<Ready>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    macro_rules! column {
        ($row:ident => $value:expr) => {
            rows.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    let places = sqlx::query!(
        r#"
        WITH i AS (
        INSERT INTO jobs (tier, id, tenant, job_type, queue, priority, lane, ord, run_at, state, max_attempts, payload,
                          metadata, subject, parent, accepted_by, idempotency_key, key_ttl_ms, key_hashes,
                          ordering_key, limited, waits, expires_at)
        SELECT $1, n.id, n.tenant, n.job_type, n.queue, n.priority, n.lane,
               CASE WHEN NOT n.blocked AND n.waits IS NULL AND n.due <= now() THEN nextval('ready_seq') END,
               CASE WHEN n.blocked OR n.waits IS NOT NULL THEN 'infinity' ELSE n.due END,
               CASE WHEN n.blocked OR n.waits IS NOT NULL THEN 'blocked' WHEN n.due <= now() THEN 'ready' ELSE 'scheduled' END,
               n.max_attempts, n.payload, n.metadata, n.subject, n.parent, n.accepted_by, n.key, n.key_ttl_ms, n.key_hashes,
               n.ordering_key, n.limited, n.waits,
               greatest(n.due, now()) + n.expires_in_ms * interval '1 millisecond'
        FROM (
            SELECT v.*, CASE WHEN v.blocked THEN NULL WHEN v.ordering_key IS NOT NULL THEN 'turn'
                             WHEN v.limited AND v.due <= now() THEN 'slot' END AS waits
            FROM (
            SELECT u.*, coalesce(u.run_at, now() + u.delay_ms * interval '1 millisecond') AS due,
                   coalesce(ARRAY['queue/' || u.queue, 'type/' || u.job_type, 'node/type/' || u.job_type] && s.scopes, false) AS limited
            FROM (SELECT array_agg(scope) AS scopes FROM limits) AS s, unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::timestamptz[], $8::bigint[],
                        $9::boolean[], $10::int[], $11::text[], $12::text[], $13::text[], $14::uuid[], $15::bytea[],
                        $16::text[], $17::bigint[], $18::bigint[], $19::smallint[], $20::bytea[], $21::text[])
                 WITH ORDINALITY
                 AS u (id, tenant, job_type, queue, priority, run_at, delay_ms, blocked, max_attempts, payload, metadata,
                       subject, parent, accepted_by, key, key_ttl_ms, expires_in_ms, lane, key_hashes,
                       ordering_key, n)
            ) AS v
            -- The order of submits is the order in the queue.
            ORDER BY v.n
        ) AS n
        RETURNING id, tenant, job_type, state, queue, priority, lane, ord, waits
        ), o AS (
            INSERT INTO outbox (tenants, job_ids, job_types, events)
            SELECT array_agg(i.tenant), array_agg(i.id), array_agg(i.job_type), array_agg('job.' || i.state)
            -- Asked once a statement: what nobody follows is not written.
            FROM i WHERE (SELECT until > now() FROM event_log) HAVING count(*) > 0
        )
        SELECT queue AS "queue!", priority AS "priority!", lane AS "lane!", min(ord) AS ord, bool_or(waits IS NOT NULL) AS "waits!"
        FROM i GROUP BY 1, 2, 3
        "#,
        tier.as_i16(),
        &column!(r => r.id.0),
        &column!(r => r.tenant.clone()),
        &column!(r => r.job_type.clone()),
        &column!(r => r.queue.clone()),
        &column!(r => r.priority.as_i16()),
        &column!(r => r.run_at) as &[Option<DateTime<Utc>>],
        &column!(r => r.delay_ms),
        &column!(r => r.blocked),
        &column!(r => r.max_attempts),
        &column!(r => r.payload.clone()),
        &column!(r => r.metadata.clone()) as &[Option<String>],
        &column!(r => r.subject.clone()),
        &column!(r => r.parent.map(|p| p.0)) as &[Option<Uuid>],
        &column!(r => r.accepted_by.map(|d| d.as_bytes().to_vec())) as &[Option<Vec<u8>>],
        &column!(r => r.idempotency_key.clone()) as &[Option<String>],
        &column!(r => r.key_ttl_ms) as &[Option<i64>],
        &column!(r => r.expires_in_ms),
        &column!(r => lanes.assign(&r.queue, &r.tenant)),
        &column!(r => r.key_hashes.clone()) as &[Option<Vec<u8>>],
        &column!(r => r.ordering_key.clone()) as &[Option<String>],
    )
    .fetch_all(&mut *db)
    .await?;
    let freed = Freed {
        lines: rows
            .iter()
            .filter_map(|row| {
                let key = row.ordering_key.clone()?;
                Some(Line { queue: row.queue.clone(), tenant: row.tenant.clone(), key })
            })
            .collect(),
        slots: places.iter().any(|place| place.waits),
    };
    let mut ready = go_on(db, &freed).await?;
    ready.extend(places.into_iter().filter_map(|place| {
        Some(Ready { queue: place.queue, priority: place.priority, lane: place.lane, ord: place.ord? })
    }));
    Ok(ready)
}

/// A job that came in by SQL, as it lies there.
#[derive(Debug)]
pub struct Unchecked {
    pub id: JobId,
    pub tenant: String,
    pub job_type: String,
    pub priority: Priority,
    pub run_at: DateTime<Utc>,
    pub payload: String,
    pub metadata: Option<String>,
    pub subject: String,
    pub key: Option<String>,
    pub ordering_key: Option<String>,
}

/// Locks some of them, oldest first.
pub async fn lock_unchecked(
    db: &mut PgConnection,
    tier: Tier,
    types: &[String],
    most: i64,
) -> sqlx::Result<Vec<Unchecked>> {
    let rows = sqlx::query!(
        r#"
        SELECT id, tenant, job_type, priority, run_at, payload, metadata, subject, idempotency_key, ordering_key
        FROM jobs WHERE tier = $1 AND unchecked AND job_type = ANY ($3) ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
        "#,
        tier.as_i16(),
        most,
        types,
    )
    .fetch_all(db)
    .await?;
    let unchecked = rows.into_iter().map(|row| Unchecked {
        id: JobId(row.id),
        tenant: row.tenant,
        job_type: row.job_type,
        // The column's CHECK allows no other number.
        priority: Priority::try_from(row.priority).unwrap_or(Priority::Normal),
        run_at: row.run_at,
        payload: row.payload,
        metadata: row.metadata,
        subject: row.subject,
        key: row.idempotency_key,
        ordering_key: row.ordering_key,
    });
    Ok(unchecked.collect())
}

/// Takes unchecked rows away, which come back checked in the same transaction.
pub async fn forget(db: &mut PgConnection, tier: Tier, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM jobs WHERE tier = $1 AND id = ANY ($2) AND unchecked", tier.as_i16(), ids)
        .execute(db)
        .await?;
    Ok(())
}

/// To the tier that their queue has by now.
pub async fn move_unchecked(db: &mut PgConnection, from: Tier, to: Tier, id: JobId, queue: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE jobs SET tier = $2, queue = $4 WHERE tier = $1 AND id = $3 AND unchecked",
        from.as_i16(),
        to.as_i16(),
        id.0,
        queue,
    )
    .execute(db)
    .await?;
    Ok(())
}
