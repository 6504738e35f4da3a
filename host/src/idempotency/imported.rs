//! Keys of the service before this one, which hold in every tenant.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{old, store::Outlived};
use crate::ids::JobId;

/// Which job types imported keys may stand in the way of, as the last heartbeat read it. Submits of all others cost nothing
/// more. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// By the type's name here: what the old service called it.
    types: Arc<ArcSwap<BTreeMap<String, Vec<String>>>>,
}

impl Imported {
    /// `pairs`: the type's name here, and what it was called.
    pub fn replace(&self, pairs: impl IntoIterator<Item = (String, String)>) {
        let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (job_type, old_type) in pairs {
            types.entry(job_type).or_default().push(old_type);
        }
        if **self.types.load() != types {
            self.types.store(Arc::new(types));
        }
    }

    /// Hashes of the keys that a new job would have had in the old service. `own`: the caller's key, as it is; `derives`: the
    /// payload's key holds for this submit.
    pub fn keys(
        &self,
        job_type: &str,
        payload: &str,
        own: Option<&str>,
        derives: bool,
        now: DateTime<Utc>,
    ) -> Vec<[u8; 32]> {
        let types = self.types.load();
        let Some(old_types) = types.get(job_type) else { return Vec::new() };
        let derived = old_types.iter().filter(|_| derives).flat_map(|old_type| old::keys(old_type, payload, now));
        own.map(str::to_owned).into_iter().chain(derived).map(|key| old::hash(&key)).collect()
    }
}

/// The pairs for `Imported::replace`.
pub async fn types(db: &mut PgConnection) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query!("SELECT job_type, old_type FROM imported_types").fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.job_type, row.old_type)).collect())
}

/// Those of the keys that are there and hold: hash, and what a repeat is answered with.
pub async fn holders(db: &mut PgConnection, hashes: &[Vec<u8>]) -> sqlx::Result<Vec<(Vec<u8>, JobId)>> {
    let rows = sqlx::query!(
        r#"
        SELECT key_hash, job_id FROM imported_keys
        WHERE key_hash = ANY ($1) AND coalesce(expires_at > now(), true)
        "#,
        hashes,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key_hash, JobId(row.job_id))).collect())
}

/// What an imported key stands for. No tenant is asked: the old service had none in its keys.
pub async fn outlived(db: &mut PgConnection, job: JobId) -> sqlx::Result<Option<Outlived>> {
    sqlx::query_as!(
        Outlived,
        r#"SELECT job_type, 'completed' AS "state!", result FROM imported_keys WHERE job_id = $1"#,
        job.0,
    )
    .fetch_optional(db)
    .await
}

/// A key to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldKey {
    pub key: String,
    pub old_type: String,
    pub job_type: String,
    pub queue: String,
    /// JSON text.
    pub result: Option<String>,
    pub happened_at: DateTime<Utc>,
    /// `None`: it holds for good.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Keeps keys, sorted by hash; those that are there already stay as they are. Returns how many are new.
pub async fn keep(db: &mut PgConnection, keys: &[&OldKey]) -> sqlx::Result<u64> {
    macro_rules! column {
        ($key:ident => $value:expr) => {
            keys.iter().map(|$key| $value).collect::<Vec<_>>()
        };
    }
    let done = sqlx::query!(
        r#"
        INSERT INTO imported_keys (key_hash, key, old_type, job_type, queue, job_id, result, happened_at, expires_at)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[],
                             $8::timestamptz[], $9::timestamptz[]) AS k (hash, key, old, new, queue, job, result, at, until)
        ORDER BY k.hash
        ON CONFLICT (key_hash) DO NOTHING
        "#,
        &column!(k => old::hash(&k.key).to_vec()),
        &column!(k => k.key.clone()),
        &column!(k => k.old_type.clone()),
        &column!(k => k.job_type.clone()),
        &column!(k => k.queue.clone()),
        &column!(_k => JobId::new().0),
        &column!(k => k.result.clone()) as &[Option<String>],
        &column!(k => k.happened_at),
        &column!(k => k.expires_at) as &[Option<DateTime<Utc>>],
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Those that are there already.
pub async fn known(db: &mut PgConnection, keys: &[&OldKey]) -> sqlx::Result<i64> {
    let hashes: Vec<_> = keys.iter().map(|key| old::hash(&key.key).to_vec()).collect();
    sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM imported_keys WHERE key_hash = ANY ($1)"#, &hashes)
        .fetch_one(db)
        .await
}

/// Names types that keys are imported of, so that submits of them are asked about: nodes hear of them by their next
/// heartbeat. No pair twice.
pub async fn name_types(db: &mut PgConnection, pairs: &[(String, String)]) -> sqlx::Result<()> {
    let (new, old): (Vec<_>, Vec<_>) = pairs.iter().cloned().unzip();
    sqlx::query!(
        r#"
        INSERT INTO imported_types AS t (job_type, old_type)
        SELECT * FROM unnest($1::text[], $2::text[]) AS p (new, old) ORDER BY 1, 2
        -- Also to hold back who is about to let it go.
        ON CONFLICT (job_type, old_type) DO UPDATE SET seen_at = now()
        "#,
        &new,
        &old,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets go of keys whose time is over, at most so many, and of types that have none left.
pub async fn purge(db: &mut PgConnection, most: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        WITH over AS (
            DELETE FROM imported_keys
            WHERE key_hash IN (SELECT key_hash FROM imported_keys WHERE expires_at < now() LIMIT $1)
        )
        DELETE FROM imported_types t
        WHERE t.seen_at < now() - interval '1 day'
          AND NOT EXISTS (SELECT FROM imported_keys k WHERE k.job_type = t.job_type AND k.old_type = t.old_type)
        "#,
        most,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_types_have_old_keys() {
        let imported = Imported::default();
        let ask = |own, derives| imported.keys("nft-mint", r#"{"eventId":"e","seatId":"s"}"#, own, derives, Utc::now());
        assert!(ask(Some("k"), true).is_empty());
        imported.replace([("nft-mint".to_owned(), "nft-mint".to_owned())]);
        assert_eq!(ask(None, true), [old::hash("nft-e-s")]);
        assert_eq!(ask(Some("k"), true), [old::hash("k"), old::hash("nft-e-s")]);
        assert_eq!(ask(Some("k"), false), [old::hash("k")]);
        imported.replace([]);
        assert!(ask(None, true).is_empty());
    }
}
