use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::Tier;

/// Jobs that were just inserted as blocked wait for a person from now on: nobody knows what became of them elsewhere.
pub async fn park(db: &mut PgConnection, tier: Tier, ids: &[Uuid], note: &serde_json::Value) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        UPDATE jobs
        SET state = 'dead', reason = 'unknown-outcome', run_at = 'infinity', waits = NULL, errors = errors || $3
        WHERE tier = $1 AND id = ANY ($2) AND state = 'blocked'
        "#,
        tier.as_i16(),
        ids,
        note,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
