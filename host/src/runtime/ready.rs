//! Releases become ready on this node, and the other nodes hear of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use wasmtime::component::Component;

use super::{
    PublishError, Registry, Release, Runtime, artifacts::Artifacts, inspect, judging::Vouchers, publish::aside,
    registry::ByDigest, track_0_1::ProcessorPre, wasi,
};
use crate::{
    config::GrantSet,
    db::Pool,
    ids::Digest,
    lifecycle::Lifecycle,
    releases::{self, Stored, manifest, policy},
};

/// Old releases that are kept ready though nothing holds them.
const KEPT: usize = 8;

/// Between looks whether other nodes are ready.
const LOOK: Duration = Duration::from_millis(50);

/// Between looks for compiled components that nobody uses any more.
const TIDY: Duration = Duration::from_secs(12 * 3600);

/// Why a release is not ready here.
#[derive(Clone, Debug)]
pub(super) struct Unready {
    reason: String,
    /// It may be otherwise in a while.
    passing: bool,
}

/// What a preparation came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Something is ready that was not.
    pub loaded: bool,
    /// Something is worth another try in a while.
    pub again: bool,
}

impl Registry {
    /// What serves is loaded before this node claims anything.
    pub async fn bring_up(&self, pool: &Pool) -> sqlx::Result<()> {
        if self.refresh(pool).await?.wanted {
            self.prepare(pool).await?;
            self.refresh(pool).await?;
        }
        self.report(pool).await
    }

    /// Loads what should be ready here and is not. What a compiler rejects is rejected for all nodes.
    pub async fn prepare(&self, pool: &Pool) -> sqlx::Result<Prepared> {
        let _turn = self.preparing.lock().await;
        let (standing, waiting) = {
            let mut db = pool.read().await?;
            (releases::store::standing(&mut db).await?, releases::store::waiting(&mut db).await?)
        };
        let waiting_digests: Vec<_> = waiting.iter().map(|(_, release)| release.digest).collect();
        let standing = standing.into_iter().filter(|plugin| plugin.serves).map(|plugin| plugin.release);
        let wanted: Vec<_> = standing.chain(waiting.into_iter().map(|(_, release)| release)).collect();
        self.lock_unready().retain(|digest, _| wanted.iter().any(|release| release.digest == *digest));
        let (mut held, mut done) = (Vec::new(), Prepared::default());
        for stored in wanted {
            let (digest, plugin) = (stored.digest, stored.manifest.name.clone());
            if self.lock_unready().get(&digest).is_some_and(|why| !why.passing) {
                continue;
            }
            let loaded = match self.ready(digest) {
                Some(release) => Ok(release),
                None => self.load(pool, stored).await.inspect(|_| done.loaded = true),
            };
            match loaded {
                Ok(release) => {
                    self.lock_unready().remove(&digest);
                    if waiting_digests.contains(&digest) {
                        held.push(release);
                    }
                }
                Err(error) => {
                    tracing::error!(plugin.name = plugin, plugin.digest = %digest, error = error.told(), "a release cannot be loaded on this node, which does not run its job types");
                    if error.is_rejection() {
                        self.reject(pool, digest, &error).await?;
                    }
                    let why = Unready { reason: error.told(), passing: error.is_passing() };
                    self.lock_unready().insert(digest, why);
                }
            }
        }
        self.lock_digests().waiting = held;
        self.report(pool).await?;
        done.again = self.lock_unready().values().any(|why| why.passing);
        Ok(done)
    }

    /// Waits until no activation waits for nodes any more; not for longer than `patience`, and it is no harm if it does.
    pub async fn wait_for_others(&self, pool: &Pool, patience: Duration) {
        let waits = async {
            while self.settle(pool).await.is_ok() && self.refresh(pool).await.is_ok_and(|now| now.waiting) {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(patience, waits).await.is_err() {
            tracing::warn!("an activation still waits for other nodes; see GET /plugins");
        }
    }

    /// Says what is ready here, and lets those activations take effect that no node is waited for any more. Returns how
    /// many.
    pub async fn settle(&self, pool: &Pool) -> sqlx::Result<i64> {
        self.report(pool).await?;
        let mut db = pool.write().await?;
        let done = releases::store::take_effect(&mut db, self.config.cluster.ready_within).await?;
        db.done().await?;
        Ok(done)
    }

    pub async fn report(&self, pool: &Pool) -> sqlx::Result<()> {
        let (ready, unready) = self.readiness();
        let mut db = pool.write().await?;
        releases::store::report(&mut db, self.node, &ready, &unready).await?;
        db.done().await
    }

    /// Digests that this node could run at once; what it should run and cannot, with the reasons.
    pub fn readiness(&self) -> (Vec<Digest>, Value) {
        let mut ready: Vec<_> = {
            let digests = self.lock_digests();
            digests.known.iter().filter(|(_, release)| release.strong_count() > 0).map(|(digest, _)| *digest).collect()
        };
        ready.sort_unstable();
        let unready = self.lock_unready();
        let unready: BTreeMap<_, _> =
            unready.iter().map(|(digest, why)| (digest.to_string(), json!(why.reason))).collect();
        (ready, json!(unready))
    }

    pub(super) async fn reject(&self, pool: &Pool, digest: Digest, error: &PublishError) -> sqlx::Result<()> {
        let mut tx = pool.begin().await?;
        let why = (error.slug(), error.told());
        releases::store::reject(&mut tx, digest, &self.compiler(), (why.0, &why.1), self.node.0).await?;
        tx.commit().await
    }

    /// What tells one compiler from another.
    pub(super) fn compiler(&self) -> String {
        let settings = &self.config.runtime;
        let (memory, cpu) = (settings.compile_memory, settings.compile_cpu.as_secs());
        format!("{} memory={memory} cpu={cpu}", env!("CARGO_PKG_VERSION"))
    }

    /// From Postgres through the artifact cache or the compiler to something that runs.
    pub(super) async fn load(&self, pool: &Pool, stored: Stored) -> Result<Arc<Release>, PublishError> {
        let wasm = async {
            let mut db = pool.read().await?;
            releases::store::wasm(&mut db, stored.digest).await
        };
        let wasm = wasm.await?.ok_or(PublishError::Missing)?;
        let looked = aside(move || {
            let inspected = inspect::inspect(&wasm)?;
            Ok::<_, PublishError>((wasm, inspected))
        });
        let (wasm, inspected) = looked.await??;
        let grants = policy::check(&stored.manifest, &inspected.imports, &inspected.exports, &self.config)?;
        let component = self.component(stored.digest, &wasm).await?;
        self.assemble(stored, grants, component).await
    }

    /// The compiled component, from the cache if it is there.
    pub(super) async fn component(&self, digest: Digest, wasm: &[u8]) -> Result<Component, PublishError> {
        let runtime = Arc::clone(&self.runtime);
        if let Some(component) = aside(move || runtime.artifacts.load(&runtime.engine, digest)).await? {
            return Ok(component);
        }
        let artifact = self.runtime.compiler.compile(wasm).await?;
        let runtime = Arc::clone(&self.runtime);
        let component = aside(move || {
            if let Err(error) = runtime.artifacts.store(digest, &artifact) {
                tracing::warn!(error = %error, plugin.digest = %digest, "a compiled component could not be cached");
            }
            Artifacts::deserialize(&runtime.engine, &artifact)
        });
        component.await?.map_err(|e| PublishError::Link(format!("{e:#}")))
    }

    /// Keeps the folder of compiled components from growing with every release, now and twice a day.
    pub async fn tidy(self: Arc<Self>, lifecycle: Lifecycle) {
        loop {
            let (ready, _) = self.readiness();
            let runtime = Arc::clone(&self.runtime);
            match aside(move || runtime.artifacts.prune(&ready)).await {
                Ok(Ok(0)) => {}
                Ok(Ok(removed)) => tracing::info!(removed, "compiled components that nobody used are gone"),
                Ok(Err(error)) => tracing::warn!(error = %error, "the artifact cache could not be tidied"),
                Err(error) => tracing::warn!(error = %error, "the artifact cache could not be tidied"),
            }
            tokio::select! {
                () = tokio::time::sleep(TIDY) => {}
                () = lifecycle.stopping() => return,
            }
        }
    }

    pub(super) async fn assemble(
        &self,
        stored: Stored,
        grants: GrantSet,
        component: Component,
    ) -> Result<Arc<Release>, PublishError> {
        let runtime = Arc::clone(&self.runtime);
        let release = Arc::new(aside(move || runtime.link(stored, grants, &component)).await??);
        self.lock_digests().keep(&release);
        Ok(release)
    }

    /// It cannot be made ready here, as far as this node knows.
    pub(super) fn is_unready(&self, digest: Digest) -> bool {
        self.lock_unready().contains_key(&digest)
    }

    fn lock_unready(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Unready>> {
        self.unready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime {
    /// What a component imports is found, and its schemas are made ready.
    fn link(&self, stored: Stored, grants: GrantSet, component: &Component) -> Result<Release, PublishError> {
        let link = |e: wasmtime::Error| PublishError::Link(format!("{e:#}"));
        let Self { engine, linker, .. } = self;
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
        Ok(Release {
            digest: stored.digest,
            manifest: stored.manifest,
            grants: Arc::new(grants),
            needs: stored.needs,
            validators,
            pre,
            flawed: false.into(),
            vouchers: Vouchers::default(),
        })
    }
}

impl ByDigest {
    fn keep(&mut self, release: &Arc<Release>) {
        self.known.retain(|_, release| release.strong_count() > 0);
        self.known.insert(release.digest, Arc::downgrade(release));
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(release));
    }
}
