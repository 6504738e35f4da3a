use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{lock_plugin, stored};
use crate::{
    ids::{Digest, NodeId},
    releases::Stored,
};

/// What stands for a plugin, as every node must know it.
#[derive(Debug)]
pub struct Standing {
    pub generation: i64,
    /// Whose schemas take submits.
    pub release: Stored,
    /// False: it is in quarantine and there is none before it; its jobs wait.
    pub serves: bool,
    /// Its types take no submits any more.
    pub retiring: bool,
}

/// The newest activation in effect of each plugin, but for those that are retired.
pub async fn standing(db: &mut PgConnection) -> sqlx::Result<Vec<Standing>> {
    let rows = sqlx::query!(
        r#"
        SELECT n.generation AS "generation!", n.digest IS NOT NULL AND r.quarantined_at IS NULL AS "serves!",
               r.digest, r.manifest, r.needs, EXISTS (SELECT FROM retirements t WHERE t.plugin = n.plugin) AS "retiring!"
        FROM (SELECT DISTINCT ON (plugin) plugin, generation, digest, reason FROM activations
              WHERE effective_at IS NOT NULL ORDER BY plugin, generation DESC) n
        JOIN releases r ON r.digest = coalesce(n.digest, CASE WHEN n.reason = 'quarantine' THEN
             (SELECT a.digest FROM activations a
              WHERE a.plugin = n.plugin AND a.effective_at IS NOT NULL AND a.digest IS NOT NULL
              ORDER BY a.generation DESC LIMIT 1) END)
        ORDER BY n.plugin
        "#
    )
    .fetch_all(db)
    .await?;
    let standing = rows.into_iter().map(|row| {
        Ok(Standing {
            generation: row.generation,
            release: stored(&row.digest, row.manifest, row.needs)?,
            serves: row.serves,
            retiring: row.retiring,
        })
    });
    standing.collect()
}

/// A job type that its plugin owns and that nothing which stands for a plugin names any more.
#[derive(Debug)]
pub struct Dropped {
    pub job_type: String,
    /// The last that served and names it.
    pub release: Stored,
    pub quarantined: bool,
    pub retiring: bool,
}

/// `named`: the types of what stands.
pub async fn dropped(db: &mut PgConnection, named: &[String]) -> sqlx::Result<Vec<Dropped>> {
    let rows = sqlx::query!(
        r#"
        SELECT t.job_type, t.retiring, l.digest AS "digest!", l.manifest AS "manifest!", l.needs AS "needs!",
               l.quarantined AS "quarantined!"
        FROM job_types t
        CROSS JOIN LATERAL (
            SELECT r.digest, r.manifest, r.needs, r.quarantined_at IS NOT NULL AS quarantined
            FROM activations a JOIN releases r ON r.digest = a.digest
            WHERE a.plugin = t.plugin AND a.effective_at IS NOT NULL AND r.deleted_at IS NULL
              AND EXISTS (SELECT FROM jsonb_array_elements(r.manifest -> 'jobs') AS job WHERE job ->> 'type' = t.job_type)
            -- One that can run before one that cannot.
            ORDER BY r.quarantined_at IS NOT NULL, a.generation DESC LIMIT 1
        ) AS l
        WHERE NOT t.job_type = ANY ($1)
        ORDER BY t.job_type
        "#,
        named,
    )
    .fetch_all(db)
    .await?;
    let dropped = rows.into_iter().map(|row| {
        Ok(Dropped {
            job_type: row.job_type,
            release: stored(&row.digest, row.manifest, row.needs)?,
            quarantined: row.quarantined,
            retiring: row.retiring,
        })
    });
    dropped.collect()
}

/// Activations that wait until the live nodes are ready, with their generations.
pub async fn waiting(db: &mut PgConnection) -> sqlx::Result<Vec<(i64, Stored)>> {
    let rows = sqlx::query!(
        r#"
        SELECT a.generation AS "generation!", r.digest, r.manifest, r.needs
        FROM (SELECT DISTINCT ON (plugin) plugin, generation, digest, effective_at, withdrawn_at FROM activations
              ORDER BY plugin, generation DESC) a
        JOIN releases r ON r.digest = a.digest
        WHERE a.effective_at IS NULL AND a.withdrawn_at IS NULL
        "#
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((row.generation, stored(&row.digest, row.manifest, row.needs)?))).collect()
}

pub async fn quarantined(db: &mut PgConnection) -> sqlx::Result<Vec<Digest>> {
    let rows =
        sqlx::query_scalar!("SELECT digest FROM releases WHERE quarantined_at IS NOT NULL").fetch_all(db).await?;
    Ok(rows.iter().filter_map(|digest| Digest::from_slice(digest)).collect())
}

/// What this node could run at once, and what it should run and cannot.
pub async fn report(db: &mut PgConnection, node: NodeId, ready: &[Digest], unready: &Value) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE nodes SET ready = $2, unready = $3 WHERE id = $1",
        node.0,
        &ready.iter().map(|digest| digest.as_bytes().to_vec()).collect::<Vec<_>>(),
        unready,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Why that compiler said no to these bytes: a slug, and its words.
pub async fn rejection(
    db: &mut PgConnection,
    digest: Digest,
    compiler: &str,
) -> sqlx::Result<Option<(String, String)>> {
    let row = sqlx::query!(
        "SELECT reason, detail FROM rejections WHERE digest = $1 AND compiler = $2",
        digest.as_bytes(),
        compiler,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.reason, row.detail)))
}

/// One node's compiler said no: what waits for it is withdrawn for all. But not where it has served: other nodes can run
/// it, and it may be the only way back. In the caller's transaction.
pub async fn reject(
    db: &mut PgConnection,
    digest: Digest,
    compiler: &str,
    (reason, detail): (&str, &str),
    node: Uuid,
) -> sqlx::Result<()> {
    // Whoever changes what serves locks the plugin first, then the news, then what waits; by itself the statement below
    // would take the last two the other way round. Not stored yet: nothing waits for it.
    let plugin = sqlx::query_scalar!("SELECT plugin FROM releases WHERE digest = $1", digest.as_bytes())
        .fetch_optional(&mut *db)
        .await?;
    if let Some(plugin) = plugin {
        lock_plugin(db, &plugin).await?;
    }
    sqlx::query!(
        r#"
        WITH served AS MATERIALIZED (
            SELECT EXISTS (SELECT FROM activations WHERE digest = $1 AND effective_at IS NOT NULL) AS has
        ), w AS (
            UPDATE activations SET withdrawn_at = now(), withdrawn = $4
            WHERE digest = $1 AND effective_at IS NULL AND withdrawn_at IS NULL AND NOT (SELECT has FROM served)
        )
        INSERT INTO rejections AS r (digest, compiler, reason, detail, node)
        SELECT $1, $2, $3, $4, $5 FROM served WHERE NOT has
        ON CONFLICT (digest) DO UPDATE
        SET compiler = excluded.compiler, reason = excluded.reason, detail = excluded.detail, node = excluded.node,
            rejected_at = now()
        "#,
        digest.as_bytes(),
        compiler,
        reason,
        detail.replace('\0', "\u{fffd}"),
        node,
    )
    .execute(db)
    .await?;
    Ok(())
}
