use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{ServiceError, store};
use crate::{
    db::{Commit, Gather, Pool, Sizes},
    ids::KeyId,
};

const SIZES: Sizes = Sizes { batch: 256, in_flight: 2, beside: 32, waiting: 4_096 };
/// A caller hears this soon, also of a database that does not answer.
const SOON: Duration = Duration::from_secs(3);

/// The nonces of one moment, which share a statement and its commit.
pub(super) struct Nonces(Gather<Spender>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nonce {
    pub key: KeyId,
    pub text: String,
}

struct Spender(Pool);

impl Nonces {
    pub fn start(pool: &Pool) -> Self {
        Self(Gather::start(Arc::new(Spender(pool.clone())), SIZES))
    }

    /// Seen once in the cluster, or never.
    pub async fn spend(&self, nonce: Nonce) -> Result<(), ServiceError> {
        let answer = self.0.put(nonce).map_err(|_| ServiceError::Unavailable)?;
        match tokio::time::timeout(SOON, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(ServiceError::Unavailable),
        }
    }
}

impl Spender {
    async fn write(&self, nonces: &[Nonce]) -> sqlx::Result<HashSet<(KeyId, String)>> {
        let keys: Vec<_> = nonces.iter().map(|nonce| nonce.key.0).collect();
        let texts: Vec<_> = nonces.iter().map(|nonce| nonce.text.clone()).collect();
        let mut db = self.0.write().await?;
        let fresh = store::spend(&mut db, &keys, &texts).await?;
        db.done().await?;
        Ok(fresh.into_iter().map(|(key, text)| (KeyId(key), text)).collect())
    }
}

impl Commit for Spender {
    type Item = Nonce;
    type Answer = Result<(), ServiceError>;

    async fn commit(&self, nonces: &[Nonce]) -> Vec<Self::Answer> {
        match self.write(nonces).await {
            // Of two that are the same, the first has it.
            Ok(mut fresh) => nonces
                .iter()
                .map(|nonce| match fresh.remove(&(nonce.key, nonce.text.clone())) {
                    true => Ok(()),
                    false => Err(ServiceError::NonceUsed),
                })
                .collect(),
            Err(error) => {
                tracing::error!(error = %error, nonces = nonces.len(), "nonces could not be written down");
                nonces.iter().map(|_| Err(ServiceError::Unavailable)).collect()
            }
        }
    }
}
