use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::sync::Mutex;

use super::VerifyError;
use crate::{
    config::{Config, GrantSet},
    db::Pool,
    ids::Digest,
    releases,
    runtime::{Registry, stage::Stage},
};

/// Stored releases, ready to be run when a record names one.
pub struct Shelf<'a> {
    pool: &'a Pool,
    source: Source<'a>,
    kept: Mutex<Kept>,
}

enum Source<'a> {
    /// Of a host that runs jobs meanwhile.
    Host(&'a Registry),
    /// Each by itself, under this configuration.
    Config(&'a Config),
}

#[derive(Default)]
struct Kept {
    /// `None`: it is not stored any more, or cannot be loaded here.
    stages: VecDeque<(Digest, Option<Arc<Stage>>)>,
    grants: HashMap<Digest, Option<Arc<GrantSet>>>,
}

/// Releases that are kept ready. Jobs of several plugins lie between each other in history: if one of these releases had to go
/// whenever the next one comes, each job would be compiled for anew. The product's own plugins are ten.
const STAGES: usize = 16;

impl<'a> Shelf<'a> {
    pub fn of_host(registry: &'a Registry, pool: &'a Pool) -> Self {
        Self { pool, source: Source::Host(registry), kept: Mutex::default() }
    }

    pub fn of_database(pool: &'a Pool, config: &'a Config) -> Self {
        Self { pool, source: Source::Config(config), kept: Mutex::default() }
    }

    /// `None`: it is not stored any more, or cannot be loaded here.
    pub async fn stage(&self, digest: Digest) -> Result<Option<Arc<Stage>>, VerifyError> {
        // Who asks for the same one meanwhile waits, and finds it.
        let mut kept = self.kept.lock().await;
        if let Some((_, stage)) = kept.stages.iter().find(|(known, _)| *known == digest) {
            return Ok(stage.clone());
        }
        let stage = match self.source {
            Source::Host(registry) => self.loaded(registry, digest).await?,
            Source::Config(config) => {
                let wasm = {
                    let mut db = self.pool.read().await?;
                    releases::store::wasm(&mut db, digest).await?
                };
                match wasm {
                    Some(component) => Stage::load(&component, config).await.ok(),
                    None => None,
                }
            }
        };
        let stage = stage.map(Arc::new);
        if kept.stages.len() == STAGES {
            kept.stages.pop_front();
        }
        kept.stages.push_back((digest, stage.clone()));
        Ok(stage)
    }

    /// Of a host that runs jobs meanwhile.
    async fn loaded(&self, registry: &Registry, digest: Digest) -> Result<Option<Stage>, VerifyError> {
        let stored = {
            let mut db = self.pool.read().await?;
            releases::store::get(&mut db, digest).await?
        };
        // The registry is not asked for it: it would wait for whoever publishes these bytes anew, which may be who asks.
        if stored.is_none() {
            return Ok(None);
        }
        Ok(match registry.by_digest(self.pool, digest).await {
            Ok(release) => Some(Stage::of(&registry.runtime, release)),
            Err(error) => {
                tracing::debug!(plugin.digest = %digest, error = error.told(), "a release that a record names cannot be run");
                None
            }
        })
    }

    /// What a release asks for, by its manifest; `None`: it is not stored any more.
    pub(super) async fn grants(&self, digest: Digest) -> Result<Option<Arc<GrantSet>>, VerifyError> {
        if let Some(grants) = self.kept.lock().await.grants.get(&digest) {
            return Ok(grants.clone());
        }
        let stored = {
            let mut db = self.pool.read().await?;
            releases::store::get(&mut db, digest).await?
        };
        let grants = stored.map(|stored| Arc::new(stored.manifest.grants));
        self.kept.lock().await.grants.insert(digest, grants.clone());
        Ok(grants)
    }
}

/// It may leave jobs or events behind, which no journal holds.
pub(super) fn can_tell(grants: &GrantSet) -> bool {
    !grants.jobs.is_empty() || !grants.webhook.is_empty()
}

/// It may have effects.
pub(super) fn can_act(grants: &GrantSet) -> bool {
    let GrantSet { email, sms, push, upstream, stripe, solana, jobs: _, webhook: _ } = grants;
    [email, sms, push, upstream, stripe, solana].iter().any(|names| !names.is_empty())
}
