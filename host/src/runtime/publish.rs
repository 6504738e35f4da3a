use std::{
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use wasmtime_wasi_io::bytes::Bytes;

use super::{
    JobInput, Registry, Release, admission,
    compile::CompileError,
    inspect::{self, InspectError},
    limits::{Charged, Cpu, ELEMENT},
    run,
    verify::{self, Report, VerifyError, Waiting},
};
use crate::{
    audit,
    db::Pool,
    effects::{Attempt, Held, OnBehalf, World},
    ids::{Digest, JobId, Lease, Tier},
    releases::{
        self, Limits, Needs, Stored,
        manifest::{self, ManifestError},
        policy::{self, PolicyError},
        signing::{self, SigningError},
        store::{Activation, Reason, StoreError},
        tracks,
    },
};

/// How long a component waits for room among the jobs to be tried.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest text of a refusal, in characters.
const MAX_TOLD: usize = 2_000;

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
    #[error("this host has no room to try the component just now (runtime.slots, runtime.memory_budget)")]
    Crowded,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the release's bytes are not stored")]
    Missing,
    #[error("a compiler of this cluster rejected these bytes before: {detail}")]
    Rejected { reason: String, detail: String },
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The policy `plugins.require_verify`.
    #[error("it does otherwise than recorded jobs did: {}", .0.summary())]
    Unverified(Box<Report>),
    #[error("recorded jobs could not be run with it: {0}")]
    Rehearsal(String),
}

impl From<VerifyError> for PublishError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Database(error) => error.into(),
            VerifyError::Stage(message) => Self::Rehearsal(message),
        }
    }
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
            Self::Inspect(InspectError::TooMuch(_)) => "too-complex",
            Self::Inspect(InspectError::Section(_)) | Self::Manifest(_) | Self::Schema(_) => "manifest-invalid",
            Self::NoManifest => "no-manifest",
            Self::Policy(
                PolicyError::UnknownImport { .. }
                | PolicyError::ImportWithoutGrant { .. }
                | PolicyError::OtherTrack { .. }
                | PolicyError::Sockets { .. },
            ) => "import-not-granted",
            Self::Link(_) | Self::Policy(PolicyError::UnknownHandler { .. }) => "does-not-link",
            Self::Policy(_) => "policy",
            Self::Compile(error) => error.slug(),
            Self::Inspect(InspectError::Passive) | Self::Needs { .. } => "needs-too-much",
            Self::Instantiate(_) => "does-not-instantiate",
            Self::Crowded => "crowded",
            Self::Store(StoreError::VersionTaken { .. }) => "version-taken",
            Self::Store(StoreError::TypeTaken { .. }) => "job-type-taken",
            Self::Store(StoreError::Quarantined { .. }) => "release-quarantined",
            Self::Store(StoreError::Retiring { .. }) => "plugin-retiring",
            Self::Store(StoreError::Database(_)) | Self::Missing => "database",
            Self::Rejected { reason, .. } => match reason.as_str() {
                "compile-memory" => "compile-memory",
                "compile-time" => "compile-time",
                _ => "compile-error",
            },
            Self::Signing(SigningError::Missing) => "signature-missing",
            Self::Signing(_) => "signature-invalid",
            Self::Unverified(_) => "verify-failed",
            Self::Rehearsal(_) => "verify-impossible",
        }
    }

    /// Why, fit for rows, answers and logs: what it quotes is the component's, so it is bounded and has no control characters.
    pub fn told(&self) -> String {
        let text = self.to_string();
        let plain = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c };
        let mut told: String = text.chars().take(MAX_TOLD).map(plain).collect();
        if text.chars().nth(MAX_TOLD).is_some() {
            told.push('…');
        }
        told
    }

    /// The fault is the host's or the moment's, not the component's: it may be tried again.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Database(_))
                | Self::Compile(CompileError::Child(_))
                | Self::Crowded
                | Self::Rehearsal(_)
        )
    }

    /// A compiler said no to the bytes, and would again.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Compile(CompileError::Memory | CompileError::Time | CompileError::Refused(_)))
    }
}

/// A component that somebody offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    pub bytes: &'a Bytes,
    /// Detached, base64.
    pub signature: Option<&'a str>,
    /// False: it is stored only.
    pub activate: bool,
    /// It is taken whatever recorded jobs do with it; the audit log says so.
    pub unverified: bool,
    pub by: &'a str,
}

/// What a publish came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub digest: Digest,
    pub plugin: String,
    pub version: String,
    /// False: the same bytes were there.
    pub stored: bool,
    /// The activation that it came to. `None`: it serves already, or was to be stored only.
    pub activation: Option<Activation>,
    /// What recorded jobs did with it, where the policy asks.
    pub verified: Option<Report>,
    /// Waiting jobs that it would refuse; they run on the release that accepted them. `None`: nothing changed, or it
    /// could not be told.
    pub waiting: Option<Waiting>,
    /// What its author should know; it is taken all the same.
    pub warnings: Vec<String>,
}

/// A component that passed every check but was not stored.
pub(super) struct Candidate {
    pub inspected: inspect::Inspected,
    pub release: Arc<Release>,
}

/// What is known of a component before any of it is interpreted.
struct Seen {
    digest: Digest,
    /// The trusted key that signed it, where one is asked for.
    signed_by: Result<Option<String>, SigningError>,
}

/// Work that takes milliseconds, over bytes that somebody sent: not on a thread that others wait for.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PublishError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| PublishError::Compile(CompileError::Child("looking at it failed".to_owned())))
}

impl Registry {
    /// `publish`, and what was refused is written down under `source`, for all to see.
    pub async fn publish_from(&self, pool: &Pool, offer: Offer<'_>, source: &str) -> Result<Published, PublishError> {
        let seen = self.see(offer).await?;
        let digest = seen.digest;
        let published = self.publish_seen(pool, seen, offer).await;
        let noted = async {
            let mut db = pool.write().await?;
            match &published {
                Ok(_) => releases::store::clear_refusal(&mut db, source).await?,
                Err(error) => {
                    releases::store::refuse(&mut db, source, Some(digest), None, error.slug(), &error.told()).await?;
                }
            }
            db.done().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = %error, source, "the outcome of a publish could not be noted");
        }
        published
    }

    /// Checks, compiles, tries, stores and activates a component. Whatever goes wrong, nothing changes.
    pub async fn publish(&self, pool: &Pool, offer: Offer<'_>) -> Result<Published, PublishError> {
        let seen = self.see(offer).await?;
        self.publish_seen(pool, seen, offer).await
    }

    async fn see(&self, offer: Offer<'_>) -> Result<Seen, PublishError> {
        let (bytes, signature) = (offer.bytes.clone(), offer.signature.map(str::to_owned));
        let trusted = self.config.plugins.trusted_keys.clone();
        aside(move || Seen {
            digest: Digest::of(&bytes),
            signed_by: signing::verify(&trusted, &bytes, signature.as_deref()),
        })
        .await
    }

    async fn publish_seen(&self, pool: &Pool, seen: Seen, offer: Offer<'_>) -> Result<Published, PublishError> {
        let digest = seen.digest;
        let published = self.try_publish(pool, seen, offer).await;
        if let Ok(Published { plugin, version, warnings, .. }) = &published {
            for warning in warnings {
                tracing::warn!(plugin.name = plugin, plugin.version = version, warning, "a release has no long future");
            }
        }
        match &published {
            Ok(done) if done.stored || done.activation.is_some() => {
                let (plugin, version) = (&done.plugin, &done.version);
                let activated = done.activation.is_some();
                tracing::info!(plugin.name = plugin, plugin.version = version, plugin.digest = %digest, activated, "release published");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(by = offer.by, plugin.digest = %digest, reason = error.slug(), error = error.told(), "a component was refused");
            }
        }
        published
    }

    async fn try_publish(&self, pool: &Pool, seen: Seen, offer: Offer<'_>) -> Result<Published, PublishError> {
        let digest = seen.digest;
        // Before any of the bytes is looked at.
        let signed_by = seen.signed_by?;
        let turn = self.turn(digest);
        let _turn = turn.lock().await;
        let rejection = async {
            let mut db = pool.read().await?;
            releases::store::rejection(&mut db, digest, &self.compiler()).await
        };
        if let Some((reason, detail)) = rejection.await? {
            return Err(PublishError::Rejected { reason, detail });
        }
        let examined = self.examine(digest, offer.bytes).await;
        if let Err(error) = &examined
            && error.is_rejection()
            && let Err(error) = self.reject(pool, digest, error).await
        {
            tracing::warn!(error = %error, "a rejection could not be remembered");
        }
        let Candidate { inspected, release } = examined?;
        let verified = self.require_verified(pool, &release, offer.unverified).await?;
        let stored = Stored { digest, manifest: release.manifest.clone(), needs: release.needs };
        let plugin = &stored.manifest.name;
        let mut tx = pool.begin().await?;
        releases::store::lock_plugin(&mut tx, plugin).await?;
        let new = releases::store::put(&mut tx, &stored, offer.bytes, signed_by.as_deref(), offer.by).await?;
        let vouched = verified.as_ref().is_some_and(Report::vouches);
        if vouched {
            releases::store::verified(&mut tx, digest).await?;
        }
        // Whose type it is is told now, also where nothing is activated yet.
        releases::store::check_types(&mut tx, &stored).await?;
        let mut activation = None;
        if offer.activate {
            if releases::store::retiring(&mut tx, plugin).await? {
                return Err(StoreError::Retiring { plugin: plugin.clone() }.into());
            }
            activation = releases::store::activate(&mut tx, &stored, Reason::Publish, self.node, offer.by).await?;
        }
        if new || vouched || activation.is_some() {
            let mut detail = serde_json::json!({
                "version": stored.manifest.version, "digest": digest, "signedBy": signed_by,
                "generation": activation.map(|activation| activation.generation),
            });
            if let Some(report) = &verified {
                detail["verify"] = report.on_record();
            }
            audit::write(&mut tx, offer.by, None, "plugin.publish", &format!("plugin/{plugin}"), detail).await?;
        }
        tx.commit().await?;
        // This node swaps at once, if it need not wait for others; they hear of it, and so does this one if it cannot.
        if activation.is_some_and(|activation| activation.effective)
            && let Err(error) = self.refresh(pool).await
        {
            tracing::warn!(error = %error, "this node could not swap at once; it will");
        }
        let waiting = if new || activation.is_some() { self.waiting(pool, &release).await } else { None };
        Ok(Published {
            digest,
            plugin: stored.manifest.name,
            version: stored.manifest.version,
            stored: new,
            activation,
            verified,
            waiting,
            warnings: tracks::warning(tracks::SERVED, &inspected.exports).into_iter().collect(),
        })
    }

    async fn waiting(&self, pool: &Pool, release: &Release) -> Option<Waiting> {
        let looked = verify::unfit(pool, release).await.inspect_err(|error| {
            tracing::warn!(error = %error, "waiting jobs could not be held against the new schemas");
        });
        let waiting = looked.ok()?;
        for unfit in &waiting.unfit {
            tracing::warn!(
                plugin.name = release.manifest.name,
                job.kind = unfit.job_type,
                jobs = unfit.jobs,
                "waiting jobs do not fit the new release; they run on the release that accepted them"
            );
        }
        Some(waiting)
    }

    /// Two that want the same bytes: the second one finds all done.
    pub(super) fn turn(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        publishing.retain(|_, turn| turn.strong_count() > 0);
        publishing.get(&digest).and_then(Weak::upgrade).unwrap_or_else(|| {
            let turn = Arc::default();
            publishing.insert(digest, Arc::downgrade(&turn));
            turn
        })
    }

    /// All checks, without writing anything but the artifact cache.
    pub(super) async fn examine(&self, digest: Digest, bytes: &Bytes) -> Result<Candidate, PublishError> {
        let owned = bytes.clone();
        let looked = aside(move || {
            let inspected = inspect::inspect(&owned)?;
            let embedded = inspected.embedded.as_ref().ok_or(PublishError::NoManifest)?;
            let manifest = manifest::parse(&embedded.manifest, &embedded.files)?;
            Ok::<_, PublishError>((inspected, manifest))
        });
        let (inspected, manifest) = looked.await??;
        let grants = policy::check(&manifest, &inspected.imports, &inspected.exports, &self.config)?;
        let component = self.component(digest, bytes).await?;
        let mut needs = inspected.needs;
        if let Some(required) = component.resources_required() {
            // As if each memory, and each table, began as the largest does.
            let pages = u64::from(required.num_memories).saturating_mul(required.max_initial_memory_size.unwrap_or(0));
            let elements = u64::from(required.num_tables).saturating_mul(required.max_initial_table_size.unwrap_or(0));
            let pages = pages.saturating_add(elements.saturating_mul(ELEMENT) / admission::PAGE);
            needs = Needs {
                memories: required.num_memories,
                tables: required.num_tables,
                memory_pages: u32::try_from(pages).unwrap_or(u32::MAX),
                ..needs
            };
        }
        let release = self.assemble(Stored { digest, manifest, needs }, grants, component).await?;
        let (needed, slots) = (admission::slots(&needs), self.runtime.admission.slots());
        if needed > slots {
            return Err(PublishError::Needs { needs: needed, slots });
        }
        if needs.memory_pages > self.runtime.admission.pages() {
            let message = "it begins with more memory than this host has for guests (runtime.memory_budget)";
            return Err(PublishError::Instantiate(message.to_owned()));
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
        let admitted = tokio::time::timeout(PATIENCE, self.runtime.admission.admit(&release.needs));
        let Ok(admitted) = admitted.await else { return Err(PublishError::Crowded) };
        let Ok(_admitted) = admitted else { return Ok(()) };
        let cpu = Arc::new(Cpu::default());
        let mut store =
            self.runtime.store(World::Live(self.runtime.gate.clone()), limits, &input, attempt, Arc::clone(&cpu));
        let tried = Charged::new(release.pre.instantiate_async(&mut store), cpu);
        match tokio::time::timeout(Duration::from_secs(10), tried).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if run::is_crowded(&error) => Err(PublishError::Crowded),
            Ok(Err(error)) => Err(PublishError::Instantiate(format!("{error:#}"))),
            Err(_) => Err(PublishError::Instantiate("it takes longer than 10 s".to_owned())),
        }
    }
}
