use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::NodeId;

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

pub async fn unregister(db: &mut PgConnection, node: NodeId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM nodes WHERE id = $1", node.0).execute(db).await?;
    Ok(())
}

/// What a heartbeat brings home.
#[derive(Debug)]
pub struct Beat {
    /// False: somebody declared this node dead.
    pub alive: bool,
    /// The other nodes and their counters.
    pub others: Vec<(NodeId, i64)>,
    /// The newest activation.
    pub generation: i64,
}

/// Counts up this node's beat and reads all that a node must know every few seconds, in one statement.
pub async fn beat(db: &mut PgConnection, node: NodeId) -> sqlx::Result<Beat> {
    let row = sqlx::query!(
        r#"
        WITH me AS (UPDATE nodes SET beat = beat + 1, beat_at = now() WHERE id = $1 RETURNING id)
        SELECT EXISTS (SELECT FROM me) AS "alive!",
               ARRAY(SELECT id FROM nodes WHERE id <> $1 ORDER BY id) AS "ids!: Vec<Uuid>",
               ARRAY(SELECT beat FROM nodes WHERE id <> $1 ORDER BY id) AS "beats!: Vec<i64>",
               coalesce((SELECT max(generation) FROM activations), 0) AS "generation!"
        "#,
        node.0,
    )
    .fetch_one(db)
    .await?;
    let others = row.ids.into_iter().map(NodeId).zip(row.beats).collect();
    Ok(Beat { alive: row.alive, others, generation: row.generation })
}

/// Declares a node dead, if its beat still stands where we saw it. The row's lock makes the reapers take turns.
pub async fn declare_dead(db: &mut PgConnection, node: NodeId, beat: i64) -> sqlx::Result<bool> {
    let done = sqlx::query!("DELETE FROM nodes WHERE id = $1 AND beat = $2", node.0, beat).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

pub async fn notify(db: &mut PgConnection, channel: &str, payload: &str) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_notify($1, $2)", channel, payload).execute(db).await?;
    Ok(())
}
