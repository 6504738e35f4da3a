use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::Digest;

/// A plugin and what stands for it, for people.
#[derive(Clone, Debug)]
pub struct Listed {
    pub plugin: String,
    /// Of the release that serves, or that would if it were not in quarantine.
    pub version: String,
    pub digest: Digest,
    pub generation: i64,
    pub job_types: Vec<String>,
    pub activated_at: DateTime<Utc>,
    /// active, quarantined, retiring.
    pub state: String,
    /// Version, digest and generation of the one that waits for the nodes, since when.
    pub waiting: Option<(String, Digest, i64, DateTime<Utc>)>,
}

/// `name`: only this one.
pub async fn listing(db: &mut PgConnection, name: Option<&str>) -> sqlx::Result<Vec<Listed>> {
    let rows = sqlx::query!(
        r#"
        SELECT n.plugin AS "plugin!", n.generation AS "generation!", n.activated_at AS "activated_at!",
               r.digest AS "digest!", r.version AS "version!",
               ARRAY(SELECT job ->> 'type' FROM jsonb_array_elements(r.manifest -> 'jobs') AS job) AS "job_types!: Vec<String>",
               CASE WHEN EXISTS (SELECT FROM retirements t WHERE t.plugin = n.plugin) THEN 'retiring'
                    WHEN n.digest IS NULL OR r.quarantined_at IS NOT NULL THEN 'quarantined' ELSE 'active' END AS "state!",
               w.generation AS "next?", w.activated_at AS "since?", wr.digest AS "next_digest?", wr.version AS "next_version?"
        FROM (SELECT DISTINCT ON (plugin) plugin, generation, digest, reason, activated_at FROM activations
              WHERE effective_at IS NOT NULL AND ($1::text IS NULL OR plugin = $1) ORDER BY plugin, generation DESC) n
        JOIN releases r ON r.digest = coalesce(n.digest, CASE WHEN n.reason = 'quarantine' THEN
             (SELECT a.digest FROM activations a
              WHERE a.plugin = n.plugin AND a.effective_at IS NOT NULL AND a.digest IS NOT NULL
              ORDER BY a.generation DESC LIMIT 1) END)
        LEFT JOIN activations w ON w.plugin = n.plugin AND w.effective_at IS NULL AND w.withdrawn_at IS NULL
              AND w.generation = (SELECT max(a.generation) FROM activations a WHERE a.plugin = n.plugin)
        LEFT JOIN releases wr ON wr.digest = w.digest
        ORDER BY n.plugin
        "#,
        name,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let waiting = row
                .next_digest
                .as_deref()
                .and_then(Digest::from_slice)
                .and_then(|digest| Some((row.next_version?, digest, row.next?, row.since?)));
            Ok(Listed {
                plugin: row.plugin,
                version: row.version,
                digest: Digest::from_slice(&row.digest)
                    .ok_or_else(|| sqlx::Error::Decode("releases: digest".into()))?,
                generation: row.generation,
                job_types: row.job_types,
                activated_at: row.activated_at,
                state: row.state,
                waiting,
            })
        })
        .collect()
}

/// A node, by what it can run.
#[derive(Debug)]
pub struct Node {
    pub id: Uuid,
    pub host: String,
    pub ready: Vec<Digest>,
    /// Reasons, by digest.
    pub unready: Value,
}

pub async fn nodes(db: &mut PgConnection) -> sqlx::Result<Vec<Node>> {
    let rows = sqlx::query!("SELECT id, host, ready, unready FROM nodes ORDER BY started_at, id").fetch_all(db).await?;
    let node = rows.into_iter().map(|row| Node {
        id: row.id,
        host: row.host,
        ready: row.ready.iter().filter_map(|digest| Digest::from_slice(digest)).collect(),
        unready: row.unready,
    });
    Ok(node.collect())
}

/// One line of a plugin's history.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReleaseInHistory)]
pub struct Past {
    /// `None`: stored, and never activated.
    pub generation: Option<i64>,
    pub version: Option<String>,
    /// `None`: from then on nothing served.
    #[serde(with = "hex_digest")]
    #[schema(value_type = Option<Digest>)]
    pub digest: Option<Vec<u8>>,
    /// serving, waiting, withdrawn, replaced, stored; quarantined and deleted are of the release.
    pub state: String,
    pub reason: Option<String>,
    pub activated_by: Option<String>,
    pub activated_at: Option<DateTime<Utc>>,
    pub effective_at: Option<DateTime<Utc>>,
    /// Why it never took effect.
    pub withdrawn: Option<String>,
    pub published_by: Option<String>,
    pub published_at: Option<DateTime<Utc>>,
    pub signed_by: Option<String>,
    pub quarantined_at: Option<DateTime<Utc>>,
    pub deleted_at: Option<DateTime<Utc>>,
}

mod hex_digest {
    use serde::{Serialize, Serializer};

    use crate::ids::Digest;

    pub fn serialize<S: Serializer>(digest: &Option<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
        digest.as_deref().and_then(Digest::from_slice).serialize(s)
    }
}

/// Where a page of the history ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastPlace {
    /// At that generation.
    Activation(i64),
    /// Among what was only stored: when, and its digest.
    Stored(DateTime<Utc>, Digest),
}

/// Who activated what and when, newest first; then what was stored and never activated.
pub async fn history(
    db: &mut PgConnection,
    plugin: &str,
    after: Option<PastPlace>,
    limit: i64,
) -> sqlx::Result<Vec<Past>> {
    let (before, stored_at, stored) = match after {
        None => (None, None, None),
        Some(PastPlace::Activation(generation)) => (Some(generation), None, None),
        // Older than all activations.
        Some(PastPlace::Stored(at, digest)) => (Some(i64::MIN), Some(at), Some(digest.as_bytes().to_vec())),
    };
    sqlx::query_as!(
        Past,
        r#"
        SELECT a.generation AS "generation?", r.version AS "version?", a.digest AS "digest?",
               CASE WHEN a.withdrawn_at IS NOT NULL THEN 'withdrawn'
                    WHEN a.effective_at IS NULL AND a.generation = (SELECT max(generation) FROM activations WHERE plugin = $1) THEN 'waiting'
                    WHEN a.effective_at IS NULL THEN 'withdrawn'
                    WHEN a.generation = (SELECT max(generation) FROM activations WHERE plugin = $1 AND effective_at IS NOT NULL)
                    THEN CASE WHEN a.digest IS NULL THEN 'nothing' ELSE 'serving' END
                    ELSE 'replaced' END AS "state!",
               a.reason AS "reason?", a.activated_by AS "activated_by?", a.activated_at AS "activated_at?", a.effective_at,
               a.withdrawn, r.published_by AS "published_by?", r.published_at AS "published_at?", r.signed_by, r.quarantined_at,
               r.deleted_at
        FROM activations a LEFT JOIN releases r ON r.digest = a.digest
        WHERE a.plugin = $1 AND ($2::bigint IS NULL OR a.generation < $2)
        UNION ALL
        SELECT NULL, r.version, r.digest, 'stored', NULL, NULL, NULL, NULL, NULL, r.published_by, r.published_at, r.signed_by,
               r.quarantined_at, r.deleted_at
        FROM releases r
        WHERE r.plugin = $1 AND NOT EXISTS (SELECT FROM activations a WHERE a.digest = r.digest)
          AND ($4::timestamptz IS NULL OR (r.published_at, r.digest) < ($4, $5::bytea))
        ORDER BY 1 DESC NULLS LAST, 11 DESC, 3 DESC LIMIT $3
        "#,
        plugin,
        before,
        limit,
        stored_at,
        stored,
    )
    .fetch_all(db)
    .await
}
