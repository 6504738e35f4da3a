use chrono::Utc;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    ids::{DeliveryId, EndpointId},
    webhooks::{Endpoint, Event, PING},
};

/// Writes what the endpoints of their tenants get of these events, in the caller's transaction. Returns how many
/// deliveries that makes. To be called only where there is an event: it asks.
pub async fn publish(db: &mut PgConnection, events: &[Event]) -> sqlx::Result<usize> {
    let mut tenants: Vec<_> = events.iter().map(|event| event.tenant.clone()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let endpoints = sqlx::query!(
        r#"
        SELECT id, tenant, events FROM webhook_endpoints WHERE tenant = ANY ($1) AND state = 'enabled'
        -- Whoever deletes one waits for us, and finds what we wrote.
        FOR KEY SHARE
        "#,
        &tenants,
    )
    .fetch_all(&mut *db)
    .await?;
    if endpoints.is_empty() {
        return Ok(0);
    }
    let now = Utc::now();
    let (mut ids, mut whose, mut of, mut jobs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut types, mut bodies) = (Vec::new(), Vec::new());
    for event in events {
        let body = event.body(now);
        let wants = |endpoint: &Vec<String>| endpoint.is_empty() || endpoint.contains(&event.event_type);
        for endpoint in endpoints.iter().filter(|e| e.tenant == event.tenant && wants(&e.events)) {
            ids.push(event.delivery(EndpointId(endpoint.id)).0);
            whose.push(endpoint.id);
            of.push(event.tenant.clone());
            jobs.push(event.job().map(|job| job.0));
            types.push(event.event_type.clone());
            bodies.push(body.clone());
        }
    }
    if ids.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        r#"
        INSERT INTO webhook_deliveries (id, endpoint, tenant, job_id, event_type, body)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[])
        ON CONFLICT (id) DO NOTHING
        "#,
        &ids,
        &whose,
        &of,
        &jobs as &[Option<Uuid>],
        &types,
        &bodies,
    )
    .execute(db)
    .await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

pub async fn insert_ping(db: &mut PgConnection, id: DeliveryId, endpoint: &Endpoint, body: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_deliveries (id, endpoint, tenant, event_type, body) VALUES ($1, $2, $3, $4, $5)",
        id.0,
        endpoint.id.0,
        endpoint.tenant,
        PING,
        body,
    )
    .execute(db)
    .await?;
    Ok(())
}
