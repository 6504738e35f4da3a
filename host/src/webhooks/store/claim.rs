use std::{collections::HashMap, time::Duration};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{DeliveryId, EndpointId, Lease};

/// What a node has room for.
#[derive(Debug)]
pub struct Claim<'a> {
    /// How many it may take.
    pub room: usize,
    /// How many sends of one endpoint run here at once.
    pub per_endpoint: usize,
    /// And of one tenant's endpoints together: many slow ones are their tenant's affair, too.
    pub per_tenant: usize,
    /// How many run here now.
    pub busy: &'a HashMap<EndpointId, usize>,
    /// The endpoint that was served last; the next one comes first.
    pub after: EndpointId,
    /// How long another node leaves it to us.
    pub time: Duration,
}

/// A delivery to be sent, with all that takes.
#[derive(Clone, Debug)]
pub struct Due {
    pub id: DeliveryId,
    pub endpoint: EndpointId,
    pub lease: Lease,
    pub url: String,
    pub generation: i32,
    /// The generation before signs, too.
    pub previous_signs: bool,
    pub body: String,
    /// This send included.
    pub tries: i32,
}

/// Takes what is due, of each endpoint no more than it has room for, beginning behind the one that was served last: who
/// has a backlog stands in nobody's way. Also says how long until something else is due.
pub async fn claim(db: &mut PgConnection, claim: &Claim<'_>) -> sqlx::Result<(Vec<Due>, Option<Duration>)> {
    let lease = Lease::random();
    let (mut endpoints, mut running) = (Vec::new(), Vec::new());
    for (endpoint, count) in claim.busy {
        endpoints.push(endpoint.0);
        running.push(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    let rows = sqlx::query!(
        r#"
        WITH RECURSIVE waiting AS (
            -- Those that have anything, by loose index scan.
            (SELECT endpoint FROM webhook_deliveries ORDER BY endpoint LIMIT 1)
            UNION ALL
            SELECT (SELECT d.endpoint FROM webhook_deliveries d WHERE d.endpoint > s.endpoint ORDER BY d.endpoint LIMIT 1)
            FROM waiting s WHERE s.endpoint IS NOT NULL
        ), able AS MATERIALIZED (
            SELECT w.id, w.tenant, w.url, w.generation, coalesce(w.previous_until > now(), false) AS previous_signs, w.quiet_until,
                   -- One that fails is tried by one send at a time.
                   greatest(CASE WHEN w.failing_since IS NULL THEN $1::bigint ELSE 1 END - coalesce(b.n, 0), 0) AS room,
                   $8::bigint - coalesce(sum(b.n) OVER (PARTITION BY w.tenant), 0) AS tenant_room
            FROM waiting s JOIN webhook_endpoints w ON w.id = s.endpoint AND w.state = 'enabled'
            LEFT JOIN unnest($2::uuid[], $3::bigint[]) AS b (id, n) ON b.id = w.id
        ), due AS MATERIALIZED (
            SELECT id, url, generation, previous_signs
            FROM (
                SELECT x.id, a.id AS endpoint, a.url, a.generation, a.previous_signs, a.tenant_room,
                       row_number() OVER (PARTITION BY a.tenant ORDER BY a.id <= $4, a.id) AS n
                FROM (SELECT * FROM able WHERE room > 0 AND tenant_room > 0 AND (quiet_until IS NULL OR quiet_until <= now())) AS a
                CROSS JOIN LATERAL (
                    SELECT d.id FROM webhook_deliveries d WHERE d.endpoint = a.id AND d.next_at <= now()
                    ORDER BY d.next_at LIMIT a.room FOR UPDATE SKIP LOCKED
                ) AS x
            ) AS y
            WHERE n <= tenant_room
            ORDER BY endpoint <= $4, endpoint
            LIMIT $5
        ), taken AS (
            UPDATE webhook_deliveries d
            SET lease = $6, tries = d.tries + 1, next_at = now() + make_interval(secs => $7)
            FROM due WHERE d.id = due.id
            RETURNING d.id, d.endpoint, due.url, due.generation, due.previous_signs, d.body, d.tries
        ), later AS (
            -- What is due and has no room is looked at when a send ends.
            SELECT extract(epoch FROM min(CASE WHEN a.quiet_until > now() THEN a.quiet_until ELSE (
                SELECT d.next_at FROM webhook_deliveries d WHERE d.endpoint = a.id AND d.next_at > now()
                ORDER BY d.next_at LIMIT 1
            ) END) - now())::float8 AS wait
            FROM able a
        )
        SELECT later.wait, t.id AS "id?", t.endpoint AS "endpoint?", t.url AS "url?", t.generation AS "generation?",
               t.previous_signs AS "previous_signs?", t.body AS "body?", t.tries AS "tries?"
        FROM later LEFT JOIN taken t ON true
        "#,
        i64::try_from(claim.per_endpoint).unwrap_or(i64::MAX),
        &endpoints,
        &running,
        claim.after.0,
        i64::try_from(claim.room).unwrap_or(i64::MAX),
        lease.0,
        claim.time.as_secs_f64(),
        i64::try_from(claim.per_tenant).unwrap_or(i64::MAX),
    )
    .fetch_all(db)
    .await?;
    let wait = rows.first().and_then(|row| row.wait).map(|wait| Duration::from_secs_f64(wait.max(0.0)));
    let due = rows.into_iter().filter_map(|row| {
        Some(Due {
            id: DeliveryId(row.id?),
            endpoint: EndpointId(row.endpoint?),
            lease,
            url: row.url?,
            generation: row.generation?,
            previous_signs: row.previous_signs?,
            body: row.body?,
            tries: row.tries?,
        })
    });
    Ok((due.collect(), wait))
}

/// For whoever has served nobody yet.
impl Claim<'_> {
    pub const NOBODY: EndpointId = EndpointId(Uuid::nil());
}
