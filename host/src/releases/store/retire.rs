use std::time::Duration;

use sqlx::PgConnection;

use crate::ids::Digest;

/// Whether a plugin is being retired.
pub async fn retiring(db: &mut PgConnection, plugin: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM retirements WHERE plugin = $1) AS "is!""#, plugin)
        .fetch_one(db)
        .await
}

/// A plugin that is being retired.
#[derive(Debug)]
pub struct Retirement {
    pub plugin: String,
    /// drain or cancel.
    pub mode: String,
    pub asked_by: String,
    /// It was asked for long enough ago.
    pub settled: bool,
}

/// `settled`: how long is long enough.
pub async fn retirements(db: &mut PgConnection, settled: Duration) -> sqlx::Result<Vec<Retirement>> {
    sqlx::query_as!(
        Retirement,
        r#"
        SELECT plugin, mode, asked_by, asked_at < now() - make_interval(secs => $1) AS "settled!"
        FROM retirements ORDER BY plugin
        "#,
        settled.as_secs_f64(),
    )
    .fetch_all(db)
    .await
}

/// Submits of its types are refused from now on. Asked again with another mode, that one counts.
pub async fn begin_retirement(db: &mut PgConnection, plugin: &str, mode: &str, by: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO retirements AS r (plugin, mode, asked_by) VALUES ($1, $2, $3)
        ON CONFLICT (plugin) DO UPDATE SET mode = $2, asked_at = now(), asked_by = $3 WHERE r.mode <> $2
        "#,
        plugin,
        mode,
        by,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!("UPDATE job_types SET retiring = true WHERE plugin = $1 AND NOT retiring", plugin).execute(db).await?;
    Ok(())
}

/// Done, with `free`: the types are anybody's; without: called off. Whether it was being retired.
pub async fn end_retirement(db: &mut PgConnection, plugin: &str, free: bool) -> sqlx::Result<bool> {
    let done = sqlx::query!("DELETE FROM retirements WHERE plugin = $1", plugin).execute(&mut *db).await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    if free {
        sqlx::query!("DELETE FROM job_types WHERE plugin = $1", plugin).execute(db).await?;
    } else {
        sqlx::query!("UPDATE job_types SET retiring = false WHERE plugin = $1", plugin).execute(db).await?;
    }
    Ok(true)
}

/// The job types that a plugin owns, whichever of its releases named them.
pub async fn types_of(db: &mut PgConnection, plugin: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("SELECT job_type FROM job_types WHERE plugin = $1 ORDER BY job_type", plugin)
        .fetch_all(db)
        .await
}

/// The plugin that owns a job type, which it does until the end of the transaction. `None`: nobody does.
pub async fn hold_type(db: &mut PgConnection, job_type: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("SELECT plugin FROM job_types WHERE job_type = $1 FOR KEY SHARE", job_type)
        .fetch_optional(db)
        .await
}

/// These types are not freed until the end of the transaction; who frees them sees the jobs that it inserts.
pub async fn hold_types(db: &mut PgConnection, types: &[&str]) -> sqlx::Result<()> {
    let types: Vec<_> = types.iter().map(|job_type| (*job_type).to_owned()).collect();
    sqlx::query_scalar!(
        "SELECT job_type FROM job_types WHERE job_type = ANY ($1) ORDER BY job_type FOR KEY SHARE",
        &types
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Nobody inserts a job of the plugin's types until the end of the transaction, by whatever holds them (`hold_types`,
/// `usher.submit`). False: somebody is about to, and is not waited for.
pub async fn lock_types(db: &mut PgConnection, plugin: &str) -> sqlx::Result<bool> {
    let locked = sqlx::query_scalar!("SELECT job_type FROM job_types WHERE plugin = $1 FOR UPDATE SKIP LOCKED", plugin)
        .fetch_all(&mut *db)
        .await?;
    let all = types_of(db, plugin).await?;
    Ok(locked.len() == all.len())
}

/// Nobody names it anew until the end of the transaction (see `hold`). False: its bytes are not there.
pub async fn lock_release(db: &mut PgConnection, digest: Digest) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT digest FROM releases WHERE digest = $1 AND deleted_at IS NULL FOR UPDATE",
        digest.as_bytes()
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// The bytes go; the row stays. False: they are gone already.
pub async fn delete(db: &mut PgConnection, digest: Digest, by: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE releases SET wasm = '', deleted_at = now(), deleted_by = $2 WHERE digest = $1 AND deleted_at IS NULL",
        digest.as_bytes(),
        by,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
