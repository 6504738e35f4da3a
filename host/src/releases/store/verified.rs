use sqlx::PgConnection;

use crate::ids::Digest;

/// Whether nobody need ask recorded jobs about a release before it serves: it has passed `plugins.require_verify`, or has
/// served. False for one that is not stored.
pub async fn is_cleared(db: &mut PgConnection, digest: Digest) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT FROM releases r
            WHERE r.digest = $1 AND r.deleted_at IS NULL
              AND (r.verified_at IS NOT NULL
                   -- A waiting activation is no service: it may be withdrawn before any job ran.
                   OR EXISTS (SELECT FROM activations a WHERE a.digest = r.digest AND a.effective_at IS NOT NULL))
        ) AS "is!"
        "#,
        digest.as_bytes()
    )
    .fetch_one(db)
    .await
}

/// Whether it serves, or has served. An activation that waits, or was withdrawn, is no service.
pub async fn has_served(db: &mut PgConnection, digest: Digest) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM activations WHERE digest = $1 AND effective_at IS NOT NULL) AS "is!""#,
        digest.as_bytes()
    )
    .fetch_one(db)
    .await
}

/// Recorded jobs did the same with it.
pub async fn verified(db: &mut PgConnection, digest: Digest) -> sqlx::Result<()> {
    sqlx::query!("UPDATE releases SET verified_at = now() WHERE digest = $1", digest.as_bytes()).execute(db).await?;
    Ok(())
}
