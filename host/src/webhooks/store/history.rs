use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{DeliveryId, EndpointId};

/// One event at one endpoint, as people see it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The `webhook-id`.
    pub id: DeliveryId,
    #[serde(rename = "type")]
    pub event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<Uuid>,
    pub state: String,
    pub tries: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_status: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    Pending,
    Delivered,
    Failed,
}

impl DeliveryState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// Which of an endpoint's deliveries.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub state: Option<DeliveryState>,
    /// Older than this one: when it was made, and its id.
    pub before: Option<(DateTime<Utc>, DeliveryId)>,
    pub limit: i64,
}

/// Newest first.
pub async fn deliveries(db: &mut PgConnection, endpoint: EndpointId, page: &Page) -> sqlx::Result<Vec<Delivery>> {
    sqlx::query_as!(
        Delivery,
        r#"
        SELECT id AS "id!: DeliveryId", event_type AS "event_type!", job_id, state AS "state!", tries AS "tries!",
               last_status, last_error, created_at AS "created_at!", next_at, finished_at
        FROM (
            (SELECT id, event_type, job_id, 'pending' AS state, tries, last_status, last_error, created_at, next_at,
                    NULL::timestamptz AS finished_at
             FROM webhook_deliveries
             WHERE endpoint = $1 AND ($2::text IS NULL OR $2 = 'pending')
               AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
             ORDER BY created_at DESC, id DESC LIMIT $5)
            UNION ALL
            (SELECT id, event_type, job_id, state, tries, last_status, last_error, created_at, NULL, finished_at
             FROM webhook_archive
             WHERE endpoint = $1 AND ($2::text IS NULL OR $2 = state)
               AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
             ORDER BY created_at DESC, id DESC LIMIT $5)
        ) AS all_of_them
        ORDER BY created_at DESC, id DESC LIMIT $5
        "#,
        endpoint.0,
        page.state.map(DeliveryState::as_str),
        page.before.map(|(at, _)| at),
        page.before.map(|(_, id)| id.0),
        page.limit,
    )
    .fetch_all(db)
    .await
}

/// Back among those on their way, from the beginning; one that waits for its next send is sent at once. Returns 1, or 0
/// where the endpoint has no such delivery.
pub async fn replay_one(db: &mut PgConnection, endpoint: EndpointId, id: DeliveryId) -> sqlx::Result<u64> {
    let waiting = sqlx::query!(
        r#"
        UPDATE webhook_deliveries
        -- One that is being sent is left to its sender.
        SET next_at = CASE WHEN lease IS NULL THEN now() ELSE next_at END
        WHERE id = $1 AND endpoint = $2
        "#,
        id.0,
        endpoint.0,
    )
    .execute(&mut *db)
    .await?;
    if waiting.rows_affected() > 0 {
        return Ok(1);
    }
    let done = sqlx::query!(
        r#"
        WITH d AS (DELETE FROM webhook_archive WHERE id = $1 AND endpoint = $2 RETURNING *)
        INSERT INTO webhook_deliveries (id, endpoint, tenant, job_id, event_type, body, last_status, last_error, created_at)
        SELECT id, endpoint, tenant, job_id, event_type, body, last_status, last_error, created_at FROM d
        ON CONFLICT (id) DO NOTHING
        "#,
        id.0,
        endpoint.0,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// The same for what happened since a time, oldest first, at most `most` of them.
pub async fn replay_since(
    db: &mut PgConnection,
    endpoint: EndpointId,
    since: DateTime<Utc>,
    delivered: bool,
    most: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        WITH chosen AS MATERIALIZED (
            SELECT finished_at, id FROM webhook_archive
            WHERE endpoint = $1 AND created_at >= $2 AND finished_at >= $2 AND (state = 'failed' OR $3)
            ORDER BY created_at, id LIMIT $4 FOR UPDATE SKIP LOCKED
        ), d AS (
            DELETE FROM webhook_archive a USING chosen s WHERE a.finished_at = s.finished_at AND a.id = s.id RETURNING a.*
        )
        INSERT INTO webhook_deliveries (id, endpoint, tenant, job_id, event_type, body, last_status, last_error, created_at)
        SELECT id, endpoint, tenant, job_id, event_type, body, last_status, last_error, created_at FROM d
        ON CONFLICT (id) DO NOTHING
        "#,
        endpoint.0,
        since,
        delivered,
        most,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Makes the day partitions of what has ended; returns how many were missing.
pub async fn make_days(db: &mut PgConnection, first: NaiveDate, days: i32) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"SELECT usher_make_webhook_days($1, $2) AS "made!""#, first, days).fetch_one(db).await
}
