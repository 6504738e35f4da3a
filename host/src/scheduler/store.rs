use std::{collections::BTreeMap, time::Duration};

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{Digest, NodeId};

pub async fn register(db: &mut PgConnection, node: NodeId, host: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO nodes (id, host, version) VALUES ($1, $2, $3)
        ON CONFLICT (id) DO UPDATE SET beat = nodes.beat + 1, beat_at = now()
        "#,
        node.0,
        host,
        env!("CARGO_PKG_VERSION"),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The node's row goes, and its duties are for others at once.
pub async fn unregister(db: &mut PgConnection, node: NodeId) -> sqlx::Result<()> {
    sqlx::query!("WITH d AS (DELETE FROM duties WHERE holder = $1) DELETE FROM nodes WHERE id = $1", node.0)
        .execute(db)
        .await?;
    Ok(())
}

/// What a heartbeat brings home.
#[derive(Debug)]
pub struct Beat {
    /// False: somebody declared this node dead.
    pub alive: bool,
    /// The other nodes and their counters.
    pub others: Vec<(NodeId, i64)>,
    /// Of what should run.
    pub releases: i64,
    /// What other nodes counted of releases whose jobs trap.
    pub outcomes: Vec<serde_json::Value>,
    /// What operators decided about each node, by scope.
    pub limits: BTreeMap<String, i32>,
    /// Of the rate limits and what is held.
    pub rates: i64,
    /// Of the tokens that are revoked.
    pub revocations: i64,
    /// Of the keys of services.
    pub keys: i64,
    /// Types that have imported keys: their names here, and in the old service.
    pub imported: Vec<(String, String)>,
}

/// What a node tells of itself with each beat.
#[derive(Debug)]
pub struct Told<'a> {
    pub running: &'a BTreeMap<String, usize>,
    /// Releases that it could run at once, those that it should and cannot, and what it counted of bad ones.
    pub ready: &'a [Digest],
    pub unready: &'a serde_json::Value,
    pub outcomes: &'a serde_json::Value,
    /// It is shutting down.
    pub leaving: bool,
}

/// Counts up this node's beat and reads all that a node must know every few seconds, in one statement.
pub async fn beat(db: &mut PgConnection, node: NodeId, told: &Told<'_>) -> sqlx::Result<Beat> {
    let row = sqlx::query!(
        r#"
        WITH me AS (
            UPDATE nodes SET beat = beat + 1, beat_at = now(), running = $2, ready = $3, unready = $4, outcomes = $5,
                             leaving = $6
            WHERE id = $1 RETURNING id
        )
        SELECT EXISTS (SELECT FROM me) AS "alive!",
               ARRAY(SELECT id FROM nodes WHERE id <> $1 ORDER BY id) AS "ids!: Vec<Uuid>",
               ARRAY(SELECT beat FROM nodes WHERE id <> $1 ORDER BY id) AS "beats!: Vec<i64>",
               (SELECT version FROM release_news) AS "releases!",
               ARRAY(SELECT outcomes FROM nodes WHERE id <> $1 AND outcomes <> '{}') AS "outcomes!: Vec<serde_json::Value>",
               ARRAY(SELECT scope FROM limits WHERE starts_with(scope, 'node') ORDER BY scope) AS "scopes!: Vec<String>",
               ARRAY(SELECT max FROM limits WHERE starts_with(scope, 'node') ORDER BY scope) AS "most!: Vec<i32>",
               (SELECT version FROM rate_news) AS "rates!",
               (SELECT version FROM revocation_news) AS "revocations!",
               (SELECT version FROM key_news) AS "keys!",
               ARRAY(SELECT job_type FROM imported_types ORDER BY job_type, old_type) AS "imported!: Vec<String>",
               ARRAY(SELECT old_type FROM imported_types ORDER BY job_type, old_type) AS "old!: Vec<String>"
        "#,
        node.0,
        serde_json::json!(told.running),
        &told.ready.iter().map(|digest| digest.as_bytes().to_vec()).collect::<Vec<_>>(),
        told.unready,
        told.outcomes,
        told.leaving,
    )
    .fetch_one(db)
    .await?;
    let others = row.ids.into_iter().map(NodeId).zip(row.beats).collect();
    let limits = row.scopes.into_iter().zip(row.most).collect();
    let imported = row.imported.into_iter().zip(row.old).collect();
    Ok(Beat {
        alive: row.alive,
        others,
        releases: row.releases,
        outcomes: row.outcomes,
        limits,
        rates: row.rates,
        revocations: row.revocations,
        keys: row.keys,
        imported,
    })
}

/// Jobs in flight by node and queue, as of the nodes' last beats.
pub async fn running(db: &mut PgConnection) -> sqlx::Result<BTreeMap<Uuid, BTreeMap<String, usize>>> {
    let rows = sqlx::query!("SELECT id, running FROM nodes").fetch_all(db).await?;
    // What another version of ours may write is left out.
    Ok(rows.into_iter().filter_map(|row| Some((row.id, serde_json::from_value(row.running).ok()?))).collect())
}

/// Declares a node dead, if its beat still stands where we saw it, and writes down that it was lost. The row's lock makes the
/// reapers take turns.
pub async fn declare_dead(db: &mut PgConnection, node: NodeId, beat: i64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        WITH d AS (DELETE FROM nodes WHERE id = $1 AND beat = $2 RETURNING id, host, version)
        INSERT INTO lost_nodes (id, host, version) SELECT id, host, version FROM d
        "#,
        node.0,
        beat,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn notify(db: &mut PgConnection, channel: &str, payload: &str) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_notify($1, $2)", channel, payload).execute(db).await?;
    Ok(())
}

/// Takes or keeps a duty. False: another node has it, and gave a sign within its time.
pub async fn lead(db: &mut PgConnection, duty: &str, node: NodeId, time: Duration) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        INSERT INTO duties AS d (name, holder, until) VALUES ($1, $2, now() + make_interval(secs => $3))
        ON CONFLICT (name) DO UPDATE
        SET fence = d.fence + CASE WHEN d.holder = $2 THEN 0 ELSE 1 END, holder = $2, until = excluded.until
        WHERE d.holder = $2 OR d.until < now()
        "#,
        duty,
        node.0,
        time.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Day partitions whose time is over, with their parents.
pub async fn due_partitions(db: &mut PgConnection, today: NaiveDate) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query!(r#"SELECT parent AS "parent!", part AS "part!" FROM usher_due_partitions($1)"#, today)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.parent, row.part)).collect())
}

/// Keys that still hold get what they stand for, before its day goes. Returns how many.
pub async fn outlive(db: &mut PgConnection, part: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT usher_outlive($1) AS "kept!""#, part).fetch_one(db).await
}
