use std::{collections::BTreeMap, time::Duration};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{DeliveryId, EndpointId, Lease};

/// How one send ended.
#[derive(Clone, Debug)]
pub struct Sent {
    pub id: DeliveryId,
    pub endpoint: EndpointId,
    pub lease: Lease,
    pub end: End,
    pub status: Option<u16>,
    /// What was seen in place of a success.
    pub error: Option<String>,
    /// The endpoint asks for a pause.
    pub quiet: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Delivered,
    Again {
        after: Duration,
    },
    /// No send is left.
    Failed,
    /// Failed, and the endpoint wants nothing any more.
    Gone,
}

/// An endpoint that gets nothing any more.
#[derive(Debug)]
pub struct Disabled {
    pub endpoint: EndpointId,
    pub tenant: String,
    /// `gone` or `failing`.
    pub reason: String,
    /// Deliveries that waited and are given up with it.
    pub given_up: u64,
}

/// Writes down how sends ended, in the caller's transaction. One whose lease is not held any more counts for its
/// endpoint's health only.
pub async fn settle(db: &mut PgConnection, all: &[Sent], disable_after: Duration) -> sqlx::Result<Vec<Disabled>> {
    let (again, over): (Vec<_>, Vec<_>) = all.iter().partition(|s| matches!(s.end, End::Again { .. }));
    if !over.is_empty() {
        archive(db, &over).await?;
    }
    if !again.is_empty() {
        put_back(db, &again).await?;
    }
    let mut disabled = health(db, all, disable_after).await?;
    for endpoint in &mut disabled {
        endpoint.given_up = give_up(db, endpoint.endpoint).await?;
    }
    Ok(disabled)
}

fn ids(all: &[&Sent]) -> Vec<Uuid> {
    all.iter().map(|s| s.id.0).collect()
}

fn leases(all: &[&Sent]) -> Vec<Uuid> {
    all.iter().map(|s| s.lease.0).collect()
}

fn statuses(all: &[&Sent]) -> Vec<Option<i16>> {
    all.iter().map(|s| s.status.and_then(|status| status.try_into().ok())).collect()
}

fn errors(all: &[&Sent]) -> Vec<Option<String>> {
    all.iter().map(|s| s.error.clone()).collect()
}

async fn archive(db: &mut PgConnection, over: &[&Sent]) -> sqlx::Result<()> {
    let states: Vec<_> = over
        .iter()
        .map(|s| if s.end == End::Delivered { "delivered".to_owned() } else { "failed".to_owned() })
        .collect();
    sqlx::query!(
        r#"
        WITH f AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::text[])
                 AS f (id, lease, state, status, error)
        ), d AS (
            DELETE FROM webhook_deliveries x USING f WHERE x.id = f.id AND x.lease = f.lease
            RETURNING x.*, f.state, f.status, f.error
        )
        INSERT INTO webhook_archive (id, endpoint, tenant, job_id, event_type, body, state, tries, last_status, last_error,
                                     created_at)
        SELECT d.id, d.endpoint, d.tenant, d.job_id, d.event_type, d.body, d.state, d.tries, d.status, d.error, d.created_at
        FROM d
        "#,
        &ids(over),
        &leases(over),
        &states,
        &statuses(over) as &[Option<i16>],
        &errors(over) as &[Option<String>],
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn put_back(db: &mut PgConnection, again: &[&Sent]) -> sqlx::Result<()> {
    let pauses: Vec<_> =
        again.iter().map(|s| if let End::Again { after } = s.end { after.as_secs_f64() } else { 0.0 }).collect();
    sqlx::query!(
        r#"
        UPDATE webhook_deliveries d
        SET lease = NULL, next_at = now() + make_interval(secs => f.pause), last_status = f.status, last_error = f.error
        FROM unnest($1::uuid[], $2::uuid[], $3::float8[], $4::smallint[], $5::text[])
             AS f (id, lease, pause, status, error)
        WHERE d.id = f.id AND d.lease = f.lease
        "#,
        &ids(again),
        &leases(again),
        &pauses,
        &statuses(again) as &[Option<i16>],
        &errors(again) as &[Option<String>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What the sends of one moment say of an endpoint.
#[derive(Clone, Copy, Default)]
struct Seen {
    arrived: bool,
    gone: bool,
    quiet: Duration,
}

/// A success ends a time of failures. Endpoints that are well and stay so are not touched.
async fn health(db: &mut PgConnection, all: &[Sent], disable_after: Duration) -> sqlx::Result<Vec<Disabled>> {
    let mut seen: BTreeMap<EndpointId, Seen> = BTreeMap::new();
    for s in all {
        let of = seen.entry(s.endpoint).or_default();
        of.arrived |= s.end == End::Delivered;
        of.gone |= s.end == End::Gone;
        of.quiet = of.quiet.max(s.quiet.unwrap_or_default());
    }
    let rows = sqlx::query!(
        r#"
        WITH s AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::boolean[], $4::float8[]) AS s (id, arrived, gone, quiet)
        ), l AS MATERIALIZED (
            -- In one order, so that two nodes do not wait for each other.
            SELECT w.id FROM webhook_endpoints w JOIN s ON s.id = w.id
            WHERE w.state = 'enabled' AND (NOT s.arrived OR s.gone OR s.quiet > 0 OR w.failing_since IS NOT NULL)
            ORDER BY w.id FOR NO KEY UPDATE OF w
        ), u AS (
            UPDATE webhook_endpoints w
            SET failing_since   = CASE WHEN s.arrived THEN NULL ELSE coalesce(w.failing_since, now()) END,
                quiet_until     = CASE WHEN s.quiet > 0 THEN greatest(w.quiet_until, now() + make_interval(secs => s.quiet))
                                       ELSE w.quiet_until END,
                state           = CASE WHEN s.gone OR (NOT s.arrived AND w.failing_since <= now() - make_interval(secs => $5))
                                       THEN 'disabled' ELSE 'enabled' END,
                disabled_reason = CASE WHEN s.gone THEN 'gone'
                                       WHEN NOT s.arrived AND w.failing_since <= now() - make_interval(secs => $5)
                                       THEN 'failing' END
            FROM s JOIN l ON l.id = s.id WHERE w.id = s.id
            RETURNING w.id, w.tenant, w.disabled_reason
        )
        SELECT id AS "id!", tenant AS "tenant!", disabled_reason AS "reason!" FROM u WHERE disabled_reason IS NOT NULL
        "#,
        &seen.keys().map(|id| id.0).collect::<Vec<_>>(),
        &seen.values().map(|s| s.arrived).collect::<Vec<_>>(),
        &seen.values().map(|s| s.gone).collect::<Vec<_>>(),
        &seen.values().map(|s| s.quiet.as_secs_f64()).collect::<Vec<_>>(),
        disable_after.as_secs_f64(),
    )
    .fetch_all(db)
    .await?;
    let disabled = rows.into_iter().map(|row| Disabled {
        endpoint: EndpointId(row.id),
        tenant: row.tenant,
        reason: row.reason,
        given_up: 0,
    });
    Ok(disabled.collect())
}

/// What waits for a disabled endpoint has failed, and can be replayed. What a settlement of jobs publishes to it at the
/// same moment stays, and goes out if it is enabled again.
async fn give_up(db: &mut PgConnection, endpoint: EndpointId) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        WITH d AS (DELETE FROM webhook_deliveries WHERE endpoint = $1 RETURNING *)
        INSERT INTO webhook_archive (id, endpoint, tenant, job_id, event_type, body, state, tries, last_status, last_error,
                                     created_at)
        SELECT id, endpoint, tenant, job_id, event_type, body, 'failed', tries, last_status, 'the endpoint was disabled',
               created_at
        FROM d
        "#,
        endpoint.0,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
