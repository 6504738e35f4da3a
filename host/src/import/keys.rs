use std::{collections::BTreeSet, time::Duration};

use futures_util::StreamExt;
use tokio::time::Instant;

use super::{
    ImportError, Progress,
    map::Map,
    report::Keys,
    source::{KeyRow, Source},
    store,
};
use crate::{
    db::Pool,
    idempotency::imported::{self, OldKey},
};

/// Keys of one transaction.
const CHUNK: usize = 1_000;
/// Beats after which a host has surely read what was committed before the first of them was seen.
const BEATS: i64 = 3;
/// Hosts that are there beat within it; those that are not are taken for gone by then.
const PATIENCE: Duration = Duration::from_secs(90);

/// Takes the keys over that still hold, or only counts them. Returns once every host asks about them.
pub(super) async fn take_over(
    source: &mut Source,
    map: &Map,
    pool: &Pool,
    applies: bool,
    progress: Progress<'_>,
) -> Result<Keys, ImportError> {
    let (all, holding) = source.count_keys().await?;
    let mut keys = Keys { expired: count(all - holding), ..Keys::default() };
    let mut done = 0;
    let mut chunks = source.keys(CHUNK);
    while let Some(rows) = chunks.next().await {
        let rows = rows?;
        done += rows.len() as u64;
        let old: Vec<_> = rows.into_iter().map(|row| old_key(row, map)).collect();
        let mut old: Vec<&OldKey> = old.iter().collect();
        // A key is unique there; a table that someone made otherwise is none of ours to judge.
        old.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        old.dedup_by(|a, b| a.key == b.key);
        if applies {
            let mut tx = pool.begin_durable("SET LOCAL lock_timeout = '30s'").await?;
            let types: BTreeSet<_> = old.iter().map(|key| (key.job_type.clone(), key.old_type.clone())).collect();
            imported::name_types(&mut tx, &types.into_iter().collect::<Vec<_>>()).await?;
            let kept = imported::keep(&mut tx, &old).await?;
            tx.commit().await?;
            keys.imported += kept;
            keys.already += old.len() as u64 - kept;
        } else {
            let mut db = pool.read().await?;
            let known = count(imported::known(&mut db, &old).await?);
            keys.already += known;
            keys.imported += (old.len() as u64).saturating_sub(known);
        }
        progress("keys", done, count(holding));
    }
    drop(chunks);
    // Also after an import that was cut off while it waited.
    if applies && done > 0 {
        heard(pool, progress).await?;
    }
    Ok(keys)
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

fn old_key(row: KeyRow, map: &Map) -> OldKey {
    let job_type = map.job_type(&row.job_type);
    // A hash was made with the old name of the type, everything else by the rules for what it is.
    let is_hash = row.key.len() == 64 && row.key.bytes().all(|byte| byte.is_ascii_hexdigit());
    OldKey {
        old_type: if is_hash { row.job_type } else { job_type.clone() },
        job_type,
        queue: map.queue(&row.queue_name).unwrap_or(row.queue_name),
        // A column of plain text may hold what is no JSON.
        result: row.result.map(|text| match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => text,
            Err(_) => serde_json::Value::from(text).to_string(),
        }),
        key: row.key,
        happened_at: row.processed_at,
        expires_at: row.expires_at,
    }
}

/// Why no keys can be taken over now. A host of before imports were there beats as others do and never asks about them.
pub(super) async fn refused(pool: &Pool) -> sqlx::Result<Option<String>> {
    let others = store::others(&mut *pool.read().await?).await?;
    Ok((!others.is_empty()).then(|| {
        format!(
            "hosts of another version than this program's ({}) are running, which may not ask about imported keys: {}; update \
             or stop them first",
            env!("CARGO_PKG_VERSION"),
            others.join(", ")
        )
    }))
}

/// Waits until every host has read that there are keys to ask about: before that a submit could pass by one.
async fn heard(pool: &Pool, progress: Progress<'_>) -> Result<(), ImportError> {
    let began = Instant::now();
    let first = store::beats(&mut *pool.read().await?).await?;
    loop {
        let now = store::beats(&mut *pool.read().await?).await?;
        // One that came later has read it when it began; one that is gone has stopped.
        let behind =
            first.iter().filter(|(node, beat)| now.get(node).is_some_and(|now| now - **beat < BEATS)).count() as u64;
        let hosts = first.len() as u64;
        progress("hosts", hosts - behind, hosts);
        // One that came meanwhile.
        if let Some(refused) = refused(pool).await? {
            return Err(ImportError::Stopped(format!("the keys are here, and no job was moved: {refused}")));
        }
        if behind == 0 {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            let message = format!(
                "the keys are here, but {behind} hosts have not confirmed that they ask about them; no job was moved: look at \
                 these hosts and repeat the import"
            );
            return Err(ImportError::Stopped(message));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
