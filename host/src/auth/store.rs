use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A token that is let in no more, as nodes must know it.
#[derive(Debug)]
pub struct Revocation {
    pub jti: String,
    /// Empty: whoever signed it.
    pub issuer: String,
    pub expires_at: DateTime<Utc>,
}

/// The same as people see it.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    #[serde(skip)]
    pub id: i64,
    pub jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Until when it is kept: a little longer than the token is good for.
    pub expires_at: DateTime<Utc>,
    pub revoked_at: DateTime<Utc>,
    pub revoked_by: String,
}

/// Writes one down, under the next version: the lock on that row makes versions commit in their order. `None`: there are
/// `most` already.
pub(super) async fn revoke(
    db: &mut PgConnection,
    revocation: &Revocation,
    by: &str,
    most: i64,
) -> sqlx::Result<Option<Shown>> {
    let version = sqlx::query_scalar!("UPDATE revocation_news SET version = version + 1 RETURNING version")
        .fetch_one(&mut *db)
        .await?;
    let shown = sqlx::query_as!(
        Shown,
        r#"
        INSERT INTO revocations AS r (jti, issuer, expires_at, revoked_by, version)
        SELECT $1, $2, $3, $4, $5
        WHERE (SELECT count(*) FROM revocations WHERE expires_at > now()) < $6
           OR EXISTS (SELECT FROM revocations WHERE jti = $1 AND issuer = $2)
        ON CONFLICT (jti, issuer) DO UPDATE
        SET expires_at = greatest(r.expires_at, excluded.expires_at), version = excluded.version
        RETURNING id, jti, nullif(issuer, '') AS issuer, expires_at, revoked_at, revoked_by
        "#,
        revocation.jti,
        revocation.issuer,
        revocation.expires_at,
        by,
        version,
        most,
    )
    .fetch_optional(&mut *db)
    .await?;
    if shown.is_some() {
        sqlx::query!("SELECT pg_notify($1, '')", super::REVOKED).execute(db).await?;
    }
    Ok(shown)
}

/// What is new since a version, and up to which one.
pub(super) async fn news(db: &mut PgConnection, since: i64) -> sqlx::Result<(i64, Vec<Revocation>)> {
    // First: what is committed in between is read twice, and never passed over.
    let version = sqlx::query_scalar!("SELECT version FROM revocation_news").fetch_one(&mut *db).await?;
    let new = sqlx::query_as!(
        Revocation,
        "SELECT jti, issuer, expires_at FROM revocations WHERE version > $1 AND expires_at > now()",
        since,
    )
    .fetch_all(db)
    .await?;
    Ok((version, new))
}

/// Those that still count, newest first.
pub async fn list(db: &mut PgConnection, before: Option<i64>, limit: i64) -> sqlx::Result<Vec<Shown>> {
    sqlx::query_as!(
        Shown,
        r#"
        SELECT id, jti, nullif(issuer, '') AS issuer, expires_at, revoked_at, revoked_by FROM revocations
        WHERE expires_at > now() AND ($1::bigint IS NULL OR id < $1)
        ORDER BY id DESC LIMIT $2
        "#,
        before,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Lets go what has expired, at most `most` of them.
pub async fn clear_up(db: &mut PgConnection, most: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        DELETE FROM revocations WHERE id IN (
            SELECT id FROM revocations WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        "#,
        most,
    )
    .execute(db)
    .await?;
    Ok(())
}
