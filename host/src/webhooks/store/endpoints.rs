use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{
    ids::EndpointId,
    webhooks::{Change, Endpoint, NewEndpoint},
};

/// `None`: the tenant has `most` already.
pub async fn create(db: &mut PgConnection, new: &NewEndpoint, most: i64) -> sqlx::Result<Option<Endpoint>> {
    // One tenant's take turns, so that the count holds.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('usher_webhooks/' || $1, 0))", new.tenant)
        .execute(&mut *db)
        .await?;
    sqlx::query_as!(
        Endpoint,
        r#"
        INSERT INTO webhook_endpoints (tenant, url, events, description, created_by)
        SELECT $1, $2, $3, $4, $5
        WHERE (SELECT count(*) FROM webhook_endpoints WHERE tenant = $1) < $6
        RETURNING id AS "id: EndpointId", tenant, url, events, description, state, disabled_reason, previous_until,
                  failing_since, created_at, created_by, changed_at, generation
        "#,
        new.tenant,
        new.url,
        &new.events,
        new.description,
        new.by,
        most,
    )
    .fetch_optional(db)
    .await
}

pub async fn endpoint(db: &mut PgConnection, id: EndpointId, tenant: Option<&str>) -> sqlx::Result<Option<Endpoint>> {
    sqlx::query_as!(
        Endpoint,
        r#"
        SELECT id AS "id: EndpointId", tenant, url, events, description, state, disabled_reason,
               CASE WHEN previous_until > now() THEN previous_until END AS previous_until,
               failing_since, created_at, created_by, changed_at, generation
        FROM webhook_endpoints WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)
        "#,
        id.0,
        tenant,
    )
    .fetch_optional(db)
    .await
}

pub async fn endpoints(
    db: &mut PgConnection,
    tenant: Option<&str>,
    after: Option<EndpointId>,
    limit: i64,
) -> sqlx::Result<Vec<Endpoint>> {
    sqlx::query_as!(
        Endpoint,
        r#"
        SELECT id AS "id: EndpointId", tenant, url, events, description, state, disabled_reason,
               CASE WHEN previous_until > now() THEN previous_until END AS previous_until,
               failing_since, created_at, created_by, changed_at, generation
        FROM webhook_endpoints
        WHERE ($1::text IS NULL OR tenant = $1) AND ($2::uuid IS NULL OR id > $2)
        ORDER BY id LIMIT $3
        "#,
        tenant,
        after.map(|id| id.0),
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn change(
    db: &mut PgConnection,
    id: EndpointId,
    tenant: Option<&str>,
    change: &Change,
) -> sqlx::Result<Option<Endpoint>> {
    sqlx::query_as!(
        Endpoint,
        r#"
        UPDATE webhook_endpoints
        SET url             = coalesce($3, url),
            events          = coalesce($4, events),
            description     = coalesce($5, description),
            state           = CASE $6::boolean WHEN true THEN 'enabled' WHEN false THEN 'disabled' ELSE state END,
            disabled_reason = CASE $6::boolean WHEN true THEN NULL WHEN false THEN coalesce(disabled_reason, 'asked')
                                               ELSE disabled_reason END,
            -- Whoever enables it, or points it elsewhere, gives it another chance.
            failing_since   = CASE WHEN $6 OR $3::text <> url THEN NULL ELSE failing_since END,
            quiet_until     = CASE WHEN $6 OR $3::text <> url THEN NULL ELSE quiet_until END,
            changed_at      = now()
        WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)
        RETURNING id AS "id: EndpointId", tenant, url, events, description, state, disabled_reason,
                  CASE WHEN previous_until > now() THEN previous_until END AS previous_until,
                  failing_since, created_at, created_by, changed_at, generation
        "#,
        id.0,
        tenant,
        change.url.as_deref(),
        change.events.as_deref(),
        change.description.as_deref(),
        change.enabled,
    )
    .fetch_optional(db)
    .await
}

/// The endpoint first: it waits for those that publish to it, so that none of theirs is left behind.
pub async fn delete(db: &mut PgConnection, id: EndpointId, tenant: Option<&str>) -> sqlx::Result<bool> {
    let done =
        sqlx::query!("DELETE FROM webhook_endpoints WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)", id.0, tenant)
            .execute(&mut *db)
            .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!("DELETE FROM webhook_deliveries WHERE endpoint = $1", id.0).execute(db).await?;
    Ok(true)
}

/// The new generation, and until when the one before signs.
pub async fn rotate(
    db: &mut PgConnection,
    id: EndpointId,
    tenant: Option<&str>,
    overlap: Duration,
) -> sqlx::Result<Option<(i32, DateTime<Utc>)>> {
    let row = sqlx::query!(
        r#"
        UPDATE webhook_endpoints
        SET generation = generation + 1, previous_until = now() + make_interval(secs => $3), changed_at = now()
        WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)
        RETURNING generation, previous_until AS "previous_until!"
        "#,
        id.0,
        tenant,
        overlap.as_secs_f64(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.generation, row.previous_until)))
}
