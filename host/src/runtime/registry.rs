use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use arc_swap::ArcSwap;
use wasmtime::component::Component;

use super::{PublishError, Release, Runtime, inspect, track_0_1::ProcessorPre, wasi};
use crate::{
    config::Config,
    db::Pool,
    ids::Digest,
    releases::{self, Stored, manifest, policy},
    submit::{Catalog, CatalogEntry},
};

/// Old releases that are kept ready for pinned jobs though nothing holds them.
const KEPT: usize = 8;

/// The releases that this node has ready.
pub struct Registry {
    pub(super) runtime: Arc<Runtime>,
    catalog: Arc<Catalog>,
    pub(super) config: Config,
    by_type: ArcSwap<BTreeMap<String, Arc<Release>>>,
    by_digest: Mutex<ByDigest>,
    /// One refresh at a time; the second one finds all done.
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct ByDigest {
    known: HashMap<Digest, Weak<Release>>,
    kept: VecDeque<Arc<Release>>,
}

impl Registry {
    pub fn new(runtime: Arc<Runtime>, catalog: Arc<Catalog>, config: Config) -> Self {
        Self {
            runtime,
            catalog,
            config,
            by_type: ArcSwap::default(),
            by_digest: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    /// The active release of a job type.
    pub fn resolve(&self, job_type: &str) -> Option<Arc<Release>> {
        self.by_type.load().get(job_type).cloned()
    }

    /// Job types that this node can run.
    pub fn served(&self) -> Vec<String> {
        self.by_type.load().keys().cloned().collect()
    }

    /// Any stored release: one that a job is pinned to, or whose schema accepted its payload.
    pub async fn by_digest(&self, pool: &Pool, digest: Digest) -> Result<Arc<Release>, String> {
        if let Some(release) = self.ready(digest) {
            return Ok(release);
        }
        let stored = async {
            let mut db = pool.read().await?;
            releases::store::get(&mut db, digest).await
        };
        let stored = stored.await.map_err(|e| format!("release {digest} could not be read: {e}"))?;
        let stored = stored.ok_or_else(|| format!("release {digest} is not stored"))?;
        self.load(pool, stored).await.map_err(|e| format!("release {digest}: {e}"))
    }

    /// Brings this node up to the active releases; returns the job types that it newly serves. A release that cannot
    /// be loaded here is told and leaves the one before in place.
    pub async fn refresh(&self, pool: &Pool) -> sqlx::Result<Vec<String>> {
        let _turn = self.refreshing.lock().await;
        let active = {
            let mut db = pool.read().await?;
            releases::store::active(&mut db).await?
        };
        let before = self.by_type.load_full();
        let mut by_type = BTreeMap::new();
        let mut entries = BTreeMap::new();
        for stored in active {
            let digest = stored.digest;
            let manifest = stored.manifest.clone();
            let release = match self.ready(digest) {
                Some(release) => Some(release),
                None => match self.load(pool, stored).await {
                    Ok(release) => Some(release),
                    Err(error) => {
                        tracing::error!(plugin.name = manifest.name, plugin.digest = %digest, error = %error, "an active release cannot be loaded on this node");
                        // The one that served this plugin before goes on.
                        before.values().find(|old| old.manifest.name == manifest.name).cloned()
                    }
                },
            };
            let serving = release.as_ref().map_or(&manifest, |release| &release.manifest);
            for job in &serving.jobs {
                if let Some(release) = &release {
                    by_type.insert(job.job_type.clone(), Arc::clone(release));
                }
                let validator = release.as_ref().and_then(|r| r.validators.get(&job.job_type).cloned());
                let validator = match validator {
                    Some(validator) => Ok(validator),
                    None => manifest::validator(&job.schema).map(Arc::new),
                };
                let serves = release.as_ref().map(|release| release.digest);
                let entry = validator.and_then(|validator| {
                    CatalogEntry::new(job.clone(), serving.name.clone(), serves, validator).map_err(|e| e.to_string())
                });
                match entry {
                    Ok(entry) => drop(entries.insert(job.job_type.clone(), Arc::new(entry))),
                    Err(error) => tracing::error!(job.kind = job.job_type, error, "a job type cannot take submits"),
                }
            }
        }
        self.tell_sql(pool, &entries).await?;
        let newly: Vec<_> = by_type.keys().filter(|job_type| !before.contains_key(*job_type)).cloned().collect();
        // Submits are checked by the new schema before jobs run on the new code: the other order would run payloads
        // that only the old one took.
        self.catalog.replace(entries);
        self.by_type.store(Arc::new(by_type));
        Ok(newly)
    }

    /// Submits by SQL must know the types too.
    async fn tell_sql(&self, pool: &Pool, entries: &BTreeMap<String, Arc<CatalogEntry>>) -> sqlx::Result<()> {
        let known: Vec<_> = entries
            .values()
            .filter_map(|entry| {
                let queue = self.config.queues.0.get(&entry.job_type.queue)?;
                Some(releases::store::KnownType {
                    job_type: entry.job_type.job_type.clone(),
                    queue: entry.job_type.queue.clone(),
                    tier: queue.tier,
                    max_attempts: i32::try_from(queue.retries.saturating_add(1)).unwrap_or(i32::MAX),
                    expiry_secs: queue.expiry.as_secs_f64(),
                })
            })
            .collect();
        let mut db = pool.write().await?;
        releases::store::know(&mut db, &known).await?;
        db.done().await
    }

    fn ready(&self, digest: Digest) -> Option<Arc<Release>> {
        self.by_digest.lock().unwrap_or_else(PoisonError::into_inner).known.get(&digest).and_then(Weak::upgrade)
    }

    /// From Postgres through the artifact cache or the compiler to something that runs.
    async fn load(&self, pool: &Pool, stored: Stored) -> Result<Arc<Release>, PublishError> {
        let wasm = async {
            let mut db = pool.read().await?;
            releases::store::wasm(&mut db, stored.digest).await
        };
        let wasm = wasm.await?.ok_or(PublishError::Missing)?;
        let inspected = inspect::inspect(&wasm)?;
        let grants = policy::check(&stored.manifest, &inspected.imports, &self.config)?;
        let component = self.component(stored.digest, &wasm).await?;
        self.assemble(stored, grants, &component)
    }

    /// The compiled component, from the cache if it is there.
    pub(super) async fn component(&self, digest: Digest, wasm: &[u8]) -> Result<Component, PublishError> {
        let runtime = &self.runtime;
        if let Some(component) = runtime.artifacts.load(&runtime.engine, digest) {
            return Ok(component);
        }
        let artifact = runtime.compiler.compile(wasm).await?;
        if let Err(error) = runtime.artifacts.store(digest, &artifact) {
            tracing::warn!(error = %error, plugin.digest = %digest, "a compiled component could not be cached");
        }
        super::artifacts::Artifacts::deserialize(&runtime.engine, &artifact)
            .map_err(|e| PublishError::Link(e.to_string()))
    }

    pub(super) fn assemble(
        &self,
        stored: Stored,
        grants: crate::config::GrantSet,
        component: &Component,
    ) -> Result<Arc<Release>, PublishError> {
        let link = |e: wasmtime::Error| PublishError::Link(format!("{e:#}"));
        let Runtime { engine, linker, .. } = &*self.runtime;
        let pre = match stored.manifest.unused_imports.as_slice() {
            [] => linker.instantiate_pre(component),
            unused => {
                let mut linker = linker.clone();
                wasi::cut(&mut linker, engine, component, unused).map_err(link)?;
                linker.instantiate_pre(component)
            }
        };
        let pre = pre.map_err(link)?;
        let pre = ProcessorPre::new(pre).map_err(link)?;
        let mut validators = BTreeMap::new();
        for job in &stored.manifest.jobs {
            let validator = manifest::validator(&job.schema).map_err(PublishError::Schema)?;
            validators.insert(job.job_type.clone(), Arc::new(validator));
        }
        let release = Arc::new(Release {
            digest: stored.digest,
            manifest: stored.manifest,
            grants: Arc::new(grants),
            needs: stored.needs,
            validators,
            pre,
        });
        let mut by_digest = self.by_digest.lock().unwrap_or_else(PoisonError::into_inner);
        by_digest.known.retain(|_, release| release.strong_count() > 0);
        by_digest.known.insert(release.digest, Arc::downgrade(&release));
        if by_digest.kept.len() == KEPT {
            by_digest.kept.pop_front();
        }
        by_digest.kept.push_back(Arc::clone(&release));
        Ok(release)
    }
}
