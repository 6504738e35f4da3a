use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    Verifier,
    store::{self, Revocation, Shown},
    verify::{LEEWAY, now},
};
use crate::{audit, db::Pool, telemetry::Hits};

/// Revocations that count at a time: each node has them in memory.
const MOST: i64 = 100_000;
/// A revocation is kept for longer than its token is good for, since nodes' clocks differ.
const MARGIN: u64 = 300;

#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    #[error("{MOST} tokens are revoked already; some must expire first")]
    TooMany,
    #[error("the expiry is not a time")]
    Expiry,
    #[error("the database could not do it")]
    Database(#[from] sqlx::Error),
}

/// How what is kept in memory does: looks that it answered, looks that it could not, and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStats {
    pub hits: u64,
    pub misses: u64,
    pub entries: usize,
}

/// What this room keeps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthStats {
    /// Tokens that were good.
    pub tokens: CacheStats,
    /// Keys of sets; a miss is a token that named none of them.
    pub keys: CacheStats,
    /// A hit is a token that was refused by it.
    pub revocations: CacheStats,
}

impl Verifier {
    /// From now on a token is let in nowhere. `issuer`: of that one only. `exp`: its own expiry, in seconds since the epoch.
    pub async fn revoke(
        &self,
        pool: &Pool,
        jti: &str,
        issuer: Option<&str>,
        exp: u64,
        by: &str,
    ) -> Result<Shown, RevokeError> {
        let until = i64::try_from(exp.saturating_add(LEEWAY + MARGIN)).ok();
        let expires_at: DateTime<Utc> =
            until.and_then(|until| DateTime::from_timestamp(until, 0)).ok_or(RevokeError::Expiry)?;
        let revocation = Revocation { jti: jti.to_owned(), issuer: issuer.unwrap_or_default().to_owned(), expires_at };
        let mut tx = pool.begin_durable("SET LOCAL lock_timeout = '5s'").await?;
        let shown = store::revoke(&mut tx, &revocation, by, MOST).await?.ok_or(RevokeError::TooMany)?;
        let detail = json!({ "issuer": shown.issuer, "expiresAt": shown.expires_at });
        audit::write(&mut tx, by, None, "token.revoke", &format!("token/{jti}"), detail).await?;
        tx.commit().await?;
        // It is told to the others; whoever asked for it expects this node to know.
        self.refresh(pool).await?;
        Ok(shown)
    }

    /// Reads what was revoked since the last time.
    pub async fn refresh(&self, pool: &Pool) -> sqlx::Result<()> {
        let mut db = pool.read().await?;
        let (version, new) = store::news(&mut db, self.revoked.version()).await?;
        drop(db);
        self.revoked.learn(version, new, now());
        Ok(())
    }

    /// The version of the revocations that this node knows.
    pub fn version(&self) -> i64 {
        self.revoked.version()
    }

    pub fn stats(&self) -> AuthStats {
        let stats = |hits: &Hits, entries| CacheStats { hits: hits.hits(), misses: hits.misses(), entries };
        AuthStats {
            tokens: stats(&self.counts.seen, self.seen()),
            keys: stats(&self.counts.keys, self.sets().iter().map(|set| set.keys).sum()),
            revocations: stats(&self.counts.revoked, self.revoked.len()),
        }
    }
}
