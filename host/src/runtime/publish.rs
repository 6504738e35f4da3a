use std::{sync::Arc, time::Duration};

use super::{
    JobInput, Registry, Release, admission,
    compile::CompileError,
    inspect::{self, InspectError},
    limits::{Charged, Cpu},
};
use crate::{
    db::Pool,
    effects::{Attempt, Held, OnBehalf},
    ids::{Digest, JobId, Lease, Tier},
    releases::{
        self, Limits, Needs, Stored,
        manifest::{self, ManifestError},
        policy::{self, PolicyError},
        store::StoreError,
    },
};

/// Why a component is not published. The release before serves on.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("the file {0}")]
    Inspect(#[from] InspectError),
    #[error("the component carries no manifest: pack it with `usher plugin pack`")]
    NoManifest,
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("the component {0}")]
    Compile(#[from] CompileError),
    #[error("the component does not fit this host: {0}")]
    Link(String),
    #[error("a schema is refused: {0}")]
    Schema(String),
    #[error("one instance needs {needs} slots of the pool, which has {slots}")]
    Needs { needs: u32, slots: u32 },
    #[error("the component cannot be instantiated: {0}")]
    Instantiate(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the release's bytes are not stored")]
    Missing,
}

impl From<sqlx::Error> for PublishError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl PublishError {
    /// For `refusals.reason`.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Inspect(InspectError::NotWasm) => "not-wasm",
            Self::Inspect(InspectError::CoreModule) => "core-module",
            Self::Inspect(InspectError::Damaged(_)) => "damaged",
            Self::Inspect(InspectError::Section(_)) | Self::Manifest(_) | Self::Schema(_) => "manifest-invalid",
            Self::NoManifest => "no-manifest",
            Self::Policy(
                PolicyError::UnknownImport { .. }
                | PolicyError::ImportWithoutGrant { .. }
                | PolicyError::Sockets { .. },
            ) => "import-not-granted",
            Self::Policy(_) => "policy",
            Self::Compile(error) => error.slug(),
            Self::Link(_) => "does-not-link",
            Self::Needs { .. } => "needs-too-much",
            Self::Instantiate(_) => "does-not-instantiate",
            Self::Store(StoreError::VersionTaken { .. }) => "version-taken",
            Self::Store(StoreError::TypeTaken { .. }) => "job-type-taken",
            Self::Store(StoreError::Database(_)) | Self::Missing => "database",
        }
    }

    /// The fault is the host's or the moment's, not the component's: it may be tried again.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Store(StoreError::Database(_)) | Self::Compile(CompileError::Child(_)))
    }
}

/// What a publish came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub digest: Digest,
    pub plugin: String,
    pub version: String,
    /// False: it served already.
    pub activated: bool,
}

/// A component that passed every check but was not stored.
pub(super) struct Candidate {
    pub inspected: inspect::Inspected,
    pub release: Arc<Release>,
}

impl Registry {
    /// Checks, compiles, tries, stores and activates a component. Whatever goes wrong is written down under `source`,
    /// and nothing else changes.
    pub async fn publish(&self, pool: &Pool, bytes: &[u8], source: &str, by: &str) -> Result<Published, PublishError> {
        let digest = Digest::of(bytes);
        let published = self.try_publish(pool, bytes, by).await;
        let noted = async {
            let mut db = pool.write().await?;
            match &published {
                Ok(_) => releases::store::clear_refusal(&mut db, source).await?,
                Err(error) => {
                    releases::store::refuse(&mut db, source, digest, None, error.slug(), &error.to_string()).await?;
                }
            }
            db.done().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = %error, source, "the outcome of a publish could not be noted");
        }
        match &published {
            Ok(done) if done.activated => {
                tracing::info!(plugin.name = done.plugin, plugin.version = done.version, plugin.digest = %digest, "release activated");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(source, plugin.digest = %digest, reason = error.slug(), error = %error, "a component was refused");
            }
        }
        published
    }

    async fn try_publish(&self, pool: &Pool, bytes: &[u8], by: &str) -> Result<Published, PublishError> {
        let candidate = self.examine(bytes).await?;
        let release = &candidate.release;
        let stored = Stored { digest: release.digest, manifest: release.manifest.clone(), needs: release.needs };
        let mut tx = pool.begin().await?;
        releases::store::put(&mut tx, &stored, bytes, by).await?;
        let activated = releases::store::activate(&mut tx, &stored, by).await?;
        tx.commit().await?;
        // This node swaps at once; the others hear of it.
        self.refresh(pool).await?;
        Ok(Published {
            digest: stored.digest,
            plugin: stored.manifest.name,
            version: stored.manifest.version,
            activated,
        })
    }

    /// All checks, without writing anything but the artifact cache.
    pub(super) async fn examine(&self, bytes: &[u8]) -> Result<Candidate, PublishError> {
        let inspected = inspect::inspect(bytes)?;
        let embedded = inspected.embedded.as_ref().ok_or(PublishError::NoManifest)?;
        let manifest = manifest::parse(&embedded.manifest, &embedded.files)?;
        let grants = policy::check(&manifest, &inspected.imports, &self.config)?;
        let digest = Digest::of(bytes);
        let component = self.component(digest, bytes).await?;
        let mut needs = inspected.needs;
        if let Some(required) = component.resources_required() {
            // As if each memory began as the largest does.
            let pages = u64::from(required.num_memories) * required.max_initial_memory_size.unwrap_or(0);
            needs = Needs {
                memories: required.num_memories,
                tables: required.num_tables,
                memory_pages: u32::try_from(pages).unwrap_or(u32::MAX),
                ..needs
            };
        }
        let release = self.assemble(Stored { digest, manifest, needs }, grants, &component)?;
        let (needed, slots) = (admission::slots(&needs), self.runtime.admission.slots());
        if needed > slots {
            return Err(PublishError::Needs { needs: needed, slots });
        }
        self.try_out(&release).await?;
        Ok(Candidate { inspected, release })
    }

    /// Instantiates once, so that what the pool or the memory limit would refuse is refused now. No job, no grants, no
    /// effects; start functions run under a budget.
    async fn try_out(&self, release: &Release) -> Result<(), PublishError> {
        let Some(job) = release.manifest.jobs.iter().min_by_key(|job| job.limits.memory) else { return Ok(()) };
        let limits = Limits { effects: 0, ..job.limits };
        let id = JobId::new();
        let held = Held { job: id, tier: Tier::Background, lease: Lease::random(), generation: 0, is_ending: false };
        let attempt = Attempt::new(held, release.digest, OnBehalf::default(), 0, Vec::new());
        let input = JobInput {
            id,
            job_type: job.job_type.clone(),
            tenant: String::new(),
            subject: String::new(),
            payload: String::new(),
            attempt: 1,
            max_attempts: 1,
        };
        // It waits its turn like a job: a pool full of jobs says nothing about this component.
        let Ok(_admitted) = self.runtime.admission.admit(&release.needs).await else { return Ok(()) };
        let cpu = Arc::new(Cpu::default());
        let mut store = self.runtime.store(limits, &input, attempt, Arc::clone(&cpu));
        let tried = Charged::new(release.pre.instantiate_async(&mut store), cpu);
        match tokio::time::timeout(Duration::from_secs(10), tried).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(PublishError::Instantiate(format!("{error:#}"))),
            Err(_) => Err(PublishError::Instantiate("it takes longer than 10 s".to_owned())),
        }
    }
}
