//! A stage: one release that plays jobs with answers that are there already. No database, no provider; limits, grants,
//! checks, time and randomness are those of production.

mod case;
mod crash;
mod furnish;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{Ended, JobInput, LogLine, Release, Runtime, Verdict, check, inspect};
use crate::{
    config::Config,
    effects::{
        Attempt, Held, OnBehalf,
        script::{Effect, Script},
    },
    ids::{JobId, Lease, Tier},
    journal::{Answer, Recorded},
    releases::{JobType, Limits, manifest},
    submit::CatalogEntry,
};

pub use self::{
    case::{Case, Expect, Said, compare, observed},
    crash::{Difference, crash_everywhere},
};

/// Cheap to share; its jobs are independent of each other.
pub struct Stage {
    runtime: Arc<Runtime>,
    release: Arc<Release>,
}

/// A job and the world it is to meet.
#[derive(Clone, Debug)]
pub struct Scene {
    pub id: JobId,
    pub job_type: String,
    pub payload: String,
    pub tenant: String,
    pub attempt: u32,
    pub max_attempts: u32,
    /// When the first attempt began, in milliseconds since the epoch.
    pub at_ms: u64,
    /// What earlier attempts left.
    pub journal: Vec<Recorded>,
    /// What providers will say, in order.
    pub answers: Vec<Answer>,
}

/// What came of it.
#[derive(Debug)]
pub struct Played {
    pub end: Finish,
    pub effects: Vec<Effect>,
    pub children: Vec<Child>,
    pub events: Vec<(String, String)>,
    pub log: Vec<LogLine>,
    pub cpu: Duration,
    /// Bytes.
    pub peak_memory: u64,
    /// Answers of the scene that nobody asked for.
    pub answers_left: usize,
    /// All effects, as a journal would hold them.
    pub journal: Vec<Recorded>,
}

/// How the attempt ended, in words that compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// JSON text.
    Completed(String),
    Retry {
        message: String,
        after: Option<Duration>,
    },
    Permanent(String),
    /// `kind` as in a job's errors.
    Trapped {
        kind: String,
        message: String,
    },
    /// By the host, inside a call: `kind` as in a job's errors.
    Stopped {
        kind: &'static str,
        message: String,
    },
}

/// A job that the guest enqueued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub job_type: String,
    pub payload: String,
    pub key: Option<String>,
    pub delay: Duration,
}

impl Stage {
    /// Looks at a component as a publish would, but grants what it asks for. What the configuration doesn't hold of what the
    /// manifest names is furnished.
    pub async fn load(component: &[u8], config: &Config) -> Result<Self, String> {
        let inspected = inspect::inspect(component).map_err(|e| format!("the file {e}"))?;
        let embedded =
            inspected.embedded.ok_or("the component carries no manifest: make it by `usher plugin build`")?;
        let manifest = manifest::parse(&embedded.manifest, &embedded.files).map_err(|e| e.to_string())?;
        let config = furnish::furnish(config.clone(), &manifest)?;
        let (registry, examined) = check::examine(component, &config).await?;
        let release = examined.map_err(|e| e.to_string())?.release;
        registry.catalog.replace(types(&release)?);
        Ok(Self { runtime: Arc::clone(&registry.runtime), release })
    }

    /// A release of this host, under its own grants and beside its jobs.
    pub(in crate::runtime) fn of(runtime: &Arc<Runtime>, release: Arc<Release>) -> Self {
        Self { runtime: Arc::clone(runtime), release }
    }

    pub fn release(&self) -> &Release {
        &self.release
    }

    /// So many jobs are worth playing at once.
    pub fn width(&self) -> usize {
        2 * self.runtime.thread_count()
    }

    /// What is wrong with a payload, by the schema of its type; as a submit would say it.
    pub fn violations(&self, job_type: &str, payload: &serde_json::Value) -> Vec<String> {
        let Some(validator) = self.release.validators.get(job_type) else { return Vec::new() };
        validator.iter_errors(payload).map(|e| format!("payload{}: {e}", e.instance_path())).collect()
    }

    pub async fn play(&self, mut scene: Scene) -> Result<Played, String> {
        let answers = std::mem::take(&mut scene.answers);
        self.play_with(Script::new(self.runtime.gate.providers.clone(), answers), scene).await
    }

    /// The same by a journal that it need not keep to: how it goes on where it asks for something else.
    pub async fn explore(&self, mut scene: Scene) -> Result<Played, String> {
        let journal = std::mem::take(&mut scene.journal);
        scene.at_ms = journal.first().map_or(scene.at_ms, |first| first.base_ms);
        self.play_with(Script::lending(self.runtime.gate.providers.clone(), journal), scene).await
    }

    async fn play_with(&self, script: Script, scene: Scene) -> Result<Played, String> {
        let job_type = self.release.job_type(&scene.job_type).ok_or_else(|| {
            let known: Vec<_> = self.release.manifest.jobs.iter().map(|job| job.job_type.as_str()).collect();
            format!("the plugin owns no job type \"{}\" (it has {})", scene.job_type, known.join(", "))
        })?;
        let held = Held { job: scene.id, tier: Tier::Money, lease: Lease::random(), generation: 0, is_ending: false };
        let who = OnBehalf {
            job: scene.id,
            grants: Arc::clone(&self.release.grants),
            tenant: scene.tenant.clone(),
            venue: self.runtime.venue(&scene.payload),
        };
        let effects = job_type.limits.effects;
        let attempt = Attempt::begun(held, self.release.digest, who, effects, scene.journal, scene.at_ms);
        let input = JobInput {
            id: scene.id,
            job_type: scene.job_type,
            tenant: scene.tenant,
            subject: String::new(),
            payload: scene.payload,
            attempt: scene.attempt,
            max_attempts: scene.max_attempts,
        };
        let ended = self.run(script.clone(), input, Arc::clone(&attempt)).await?;
        let effects = script.effects();
        let journal = effects.iter().map_while(|effect| effect.recorded(&attempt)).collect();
        Ok(Played::of(ended, effects, script.left(), journal))
    }

    /// On the guests' threads: they compute.
    async fn run(&self, script: Script, input: JobInput, attempt: Arc<Attempt>) -> Result<Ended, String> {
        let (tell, hear) = oneshot::channel();
        let (runtime, release) = (Arc::clone(&self.runtime), Arc::clone(&self.release));
        self.runtime.spawn(async move {
            let _ = tell.send(runtime.rehearse(script, &release, input, attempt).await);
        });
        hear.await.map_err(|_| "the guest's runtime failed".to_owned())
    }
}

/// The plugin's own types, by their schemas, and those that it may enqueue: what these take is their own plugins' business.
fn types(release: &Release) -> Result<BTreeMap<String, Arc<CatalogEntry>>, String> {
    let entry = |job: JobType, plugin: &str| {
        let validator = Arc::new(manifest::validator(&job.schema)?);
        CatalogEntry::new(job, plugin.to_owned(), Some(release.digest), validator).map_err(|e| e.to_string())
    };
    let queue = release.manifest.jobs.first().map(|job| job.queue.clone()).unwrap_or_default();
    let limits = Limits { memory: 1 << 16, cpu: Duration::ZERO, wall: Duration::ZERO, effects: 0 };
    let foreign = release.grants.jobs.iter().map(|job_type| JobType {
        job_type: job_type.clone(),
        queue: queue.clone(),
        schema: serde_json::json!({}),
        idempotency: None,
        limits,
    });
    let mut types = BTreeMap::new();
    for job in foreign {
        types.insert(job.job_type.clone(), Arc::new(entry(job, "another")?));
    }
    for job in &release.manifest.jobs {
        types.insert(job.job_type.clone(), Arc::new(entry(job.clone(), &release.manifest.name)?));
    }
    Ok(types)
}

impl Played {
    fn of(ended: Ended, effects: Vec<Effect>, answers_left: usize, journal: Vec<Recorded>) -> Self {
        let child = |job: &crate::submit::PreparedJob| Child {
            job_type: job.job_type().to_owned(),
            payload: job.payload().to_owned(),
            key: job.key().map(str::to_owned),
            delay: job.delay(),
        };
        Self {
            end: Finish::of(ended.verdict),
            children: ended.children.iter().map(child).collect(),
            events: ended.published.into_iter().map(|event| (event.event_type, event.data)).collect(),
            effects,
            log: ended.log,
            cpu: ended.cpu,
            peak_memory: ended.peak_memory,
            answers_left,
            journal,
        }
    }
}

impl Finish {
    fn of(verdict: Verdict) -> Self {
        use crate::effects::Stop;
        let stopped = |kind, message| Self::Stopped { kind, message };
        match verdict {
            Verdict::Completed(result) => Self::Completed(result),
            Verdict::GuestRetry { message, after } => Self::Retry { message, after },
            Verdict::GuestPermanent(message) => Self::Permanent(message),
            Verdict::Trapped { kind, message } => Self::Trapped { kind: kind.to_string(), message },
            Verdict::Stopped(Stop::Nondeterministic { message }) => stopped("nondeterministic", message),
            Verdict::Stopped(Stop::Park { message }) => stopped("no-answer", message),
            Verdict::Stopped(Stop::Retry { message, .. } | Stop::Snooze { message, .. }) => {
                stopped("effect-retry", message)
            }
            // Not the plugin's fault, and its case cannot be judged.
            Verdict::Crowded => stopped(
                "crowded",
                "this host's room for guests is used up (runtime.slots, runtime.memory_budget)".to_owned(),
            ),
            Verdict::Stopped(Stop::Cancelled | Stop::LeaseLost) | Verdict::Cancelled => {
                stopped("cancelled", "the host ends".to_owned())
            }
        }
    }
}
