use serde_json::json;

use super::{FLUSH, OperateError, Operator, notify};
use crate::audit;

/// What a node has read and can read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Which job types there are, and what their payloads must be.
    Schemas,
    /// Keys of issuers, and the tokens that were good by them.
    Jwks,
    /// What was set at run time: rate limits, revoked tokens, keys of services.
    Config,
}

impl Flush {
    pub const ALL: [Self; 3] = [Self::Schemas, Self::Jwks, Self::Config];

    /// As the note to the other nodes writes it, too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schemas => "schemas",
            Self::Jwks => "jwks",
            Self::Config => "config",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cache| cache.as_str() == text)
    }
}

impl Operator {
    /// Tells the other nodes; this one does it by itself.
    pub async fn flush(&self, caches: &[Flush], by: &str) -> Result<(), OperateError> {
        let names: Vec<_> = caches.iter().map(|cache| cache.as_str()).collect();
        let mut tx = self.pool.begin().await?;
        audit::write(&mut tx, by, None, "cache.flush", "cache", json!({ "caches": names })).await?;
        notify(&mut tx, FLUSH, &format!("{} {}", self.node, names.join(" "))).await?;
        tx.commit().await?;
        Ok(())
    }
}
