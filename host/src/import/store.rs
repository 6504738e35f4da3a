use std::collections::{BTreeMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::JobId;

/// Whether this database has the tables of an import.
pub async fn is_ready(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT to_regclass('imported_jobs') IS NOT NULL").fetch_one(db).await
}

/// A job of the source, and its id here.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub source: Uuid,
    pub job: JobId,
    pub queue: &'a str,
    pub parked: bool,
}

/// Writes down that they are here; returns those that were not yet. Whoever imports at the same time waits for our commit.
pub async fn claim(db: &mut PgConnection, claims: &[Claim<'_>]) -> sqlx::Result<HashSet<Uuid>> {
    let outcome = |claim: &Claim<'_>| if claim.parked { "parked" } else { "moved" }.to_owned();
    let ids = sqlx::query_scalar!(
        r#"
        INSERT INTO imported_jobs (source_id, job_id, outcome, queue)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS c (source, job, outcome, queue)
        ORDER BY c.source
        ON CONFLICT DO NOTHING
        RETURNING source_id
        "#,
        &claims.iter().map(|claim| claim.source).collect::<Vec<_>>(),
        &claims.iter().map(|claim| claim.job.0).collect::<Vec<_>>(),
        &claims.iter().map(outcome).collect::<Vec<_>>(),
        &claims.iter().map(|claim| claim.queue.to_owned()).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().collect())
}

/// Their keys were held: the first job stands for them.
pub async fn deduplicated(db: &mut PgConnection, pairs: &[(Uuid, JobId)]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE imported_jobs i SET job_id = p.first, outcome = 'deduplicated'
        FROM unnest($1::uuid[], $2::uuid[]) AS p (source, first) WHERE i.source_id = p.source
        "#,
        &pairs.iter().map(|(source, _)| *source).collect::<Vec<_>>(),
        &pairs.iter().map(|(_, first)| first.0).collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those that are here already.
pub async fn known(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<HashSet<Uuid>> {
    let known = sqlx::query_scalar!("SELECT source_id FROM imported_jobs WHERE source_id = ANY ($1)", ids)
        .fetch_all(db)
        .await?;
    Ok(known.into_iter().collect())
}

/// Hosts that gave a sign of late, by how often they have beaten.
pub async fn beats(db: &mut PgConnection) -> sqlx::Result<BTreeMap<Uuid, i64>> {
    let rows =
        sqlx::query!("SELECT id, beat FROM nodes WHERE beat_at > now() - interval '1 minute'").fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.beat)).collect())
}

/// Hosts that gave a sign of late and are of another version than this program. What they ask about, nobody here knows.
pub async fn others(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        SELECT host || ' (' || version || ')' AS "host!" FROM nodes
        WHERE beat_at > now() - interval '1 minute' AND version <> $1 ORDER BY 1
        "#,
        env!("CARGO_PKG_VERSION"),
    )
    .fetch_all(db)
    .await
}

/// Once it is committed, hosts look at this queue, and at what falls due.
pub async fn ring(db: &mut PgConnection, queue: &str) -> sqlx::Result<()> {
    sqlx::query!(r#"SELECT pg_notify('usher_ready', 'import ' || $1), pg_notify('usher_wake', '')"#, queue)
        .execute(db)
        .await?;
    Ok(())
}
