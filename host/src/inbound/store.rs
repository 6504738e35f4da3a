use sqlx::PgConnection;
use uuid::Uuid;

use super::event::Event;
use crate::ids::JobId;

/// Returns whether it is new. Who inserts the same one meanwhile is waited for.
pub(super) async fn insert(db: &mut PgConnection, source: &str, event: &Event) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        INSERT INTO stripe_events (source, id, event_type, account, livemode, object_id, effect_id, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (source, id) DO NOTHING
        "#,
        source,
        event.id,
        event.event_type,
        event.account,
        event.livemode,
        event.object_id,
        event.effect.map(|effect| effect.0),
        event.created,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The jobs that were made of it, in the same transaction.
pub(super) async fn became(db: &mut PgConnection, source: &str, id: &str, jobs: &[JobId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE stripe_events SET jobs = $3 WHERE source = $1 AND id = $2",
        source,
        id,
        &jobs.iter().map(|job| job.0).collect::<Vec<Uuid>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets go, at most `most`, what Stripe does not send again: it keeps events for 30 days.
pub async fn clear_up(db: &mut PgConnection, most: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        DELETE FROM stripe_events WHERE (source, id) IN (
            SELECT source, id FROM stripe_events WHERE received_at < now() - interval '31 days'
            ORDER BY received_at LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        "#,
        most,
    )
    .execute(db)
    .await?;
    Ok(())
}
