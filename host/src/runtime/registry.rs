use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};

use super::{PublishError, Release, Runtime, artifacts::ArtifactStats, judging::Judge, ready::Unready};
use crate::{
    config::Config,
    db::Pool,
    ids::{Digest, NodeId},
    releases::{
        self, Meter, manifest,
        store::{Dropped, Standing},
    },
    submit::{Catalog, CatalogEntry},
};

/// Components that are taken in at once, by HTTP: each may be 32 MiB, and they are compiled one by one.
const UPLOADS: usize = 4;

/// A look at what lies on disk is for all who ask for so long.
const FRESH: Duration = Duration::from_secs(1);

/// The releases that this node has ready, and which of them run here now.
pub struct Registry {
    pub(super) runtime: Arc<Runtime>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) config: Config,
    pub(super) node: NodeId,
    pub(super) serving: ArcSwap<Serving>,
    pub(super) by_digest: Mutex<ByDigest>,
    pub(super) judge: Mutex<Judge>,
    /// Job types run here that did not before; whoever cares for waiting jobs takes it down.
    serves_more: AtomicBool,
    /// Rings when most of the last jobs of a release trapped here.
    pub tripped: Notify,
    /// What attempts used.
    pub meter: Meter,
    pub uploads: Semaphore,
    /// When somebody last looked how many artifacts there are, and how long together.
    sized: tokio::sync::Mutex<Option<(Instant, (usize, u64))>>,
    /// What this node should run and cannot.
    pub(super) unready: Mutex<BTreeMap<Digest, Unready>>,
    /// One publish, or one loading for a job, of a digest at a time.
    pub(super) publishing: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
    /// One refresh at a time; the second one finds all done. It compiles nothing.
    refreshing: tokio::sync::Mutex<()>,
    /// One loading of releases at a time.
    pub(super) preparing: tokio::sync::Mutex<()>,
}

/// What runs here now; swapped whole.
#[derive(Default)]
pub(super) struct Serving {
    pub by_type: BTreeMap<String, Arc<Release>>,
    /// Known job types that this node does not run now: their release is not ready here, or in quarantine.
    pub unserved: Arc<Vec<String>>,
    /// Releases that no node runs.
    pub barred: HashSet<Digest>,
    /// Of the activations in effect.
    pub generations: HashMap<Digest, i64>,
}

#[derive(Default)]
pub(super) struct ByDigest {
    pub known: HashMap<Digest, Weak<Release>>,
    /// Old releases that are kept ready, for pinned jobs and for a way back, though nothing holds them.
    pub kept: VecDeque<Arc<Release>>,
    /// Those that wait to take effect.
    pub waiting: Vec<Arc<Release>>,
}

/// What a refresh found.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// A release should be ready here, and nobody has tried yet.
    pub wanted: bool,
    /// An activation waits for the nodes.
    pub waiting: bool,
    /// A plugin is being retired.
    pub retiring: bool,
}

impl Registry {
    pub fn new(runtime: Arc<Runtime>, catalog: Arc<Catalog>, config: Config, node: NodeId) -> Self {
        Self {
            runtime,
            catalog,
            config,
            node,
            serving: ArcSwap::default(),
            by_digest: Mutex::default(),
            judge: Mutex::default(),
            serves_more: AtomicBool::new(false),
            tripped: Notify::new(),
            meter: Meter::default(),
            uploads: Semaphore::new(UPLOADS),
            sized: tokio::sync::Mutex::default(),
            unready: Mutex::default(),
            publishing: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            preparing: tokio::sync::Mutex::default(),
        }
    }

    /// Compiled components: of what use the cache was. `sized`: and how much is in it, which is looked up on disk.
    pub async fn artifacts(&self, sized: bool) -> ArtifactStats {
        let (files, bytes) = if sized { self.size_of_artifacts().await } else { (0, 0) };
        let looks = self.runtime.artifacts.looks();
        ArtifactStats { hits: looks.hits(), misses: looks.misses(), files, bytes }
    }

    async fn size_of_artifacts(&self) -> (usize, u64) {
        // Whoever comes meanwhile waits for what this one sees.
        let mut last = self.sized.lock().await;
        if let Some((_, size)) = last.filter(|(at, _)| at.elapsed() < FRESH) {
            return size;
        }
        let runtime = Arc::clone(&self.runtime);
        let looked = tokio::task::spawn_blocking(move || runtime.artifacts.size().ok()).await;
        let size = looked.ok().flatten().unwrap_or_default();
        *last = Some((Instant::now(), size));
        size
    }

    /// The active release of a job type.
    pub fn resolve(&self, job_type: &str) -> Option<Arc<Release>> {
        self.serving.load().by_type.get(job_type).cloned()
    }

    /// Job types that this node can run.
    pub fn served(&self) -> Vec<String> {
        self.serving.load().by_type.keys().cloned().collect()
    }

    /// Known job types that this node does not run now.
    pub fn unserved(&self) -> Arc<Vec<String>> {
        Arc::clone(&self.serving.load().unserved)
    }

    /// Whether job types run here that did not at the last call.
    pub fn serves_more(&self) -> bool {
        self.serves_more.swap(false, Ordering::Relaxed)
    }

    /// No node runs it: most of its last jobs trapped.
    pub fn is_barred(&self, digest: Digest) -> bool {
        self.serving.load().barred.contains(&digest)
    }

    /// Any stored release: one that a job is pinned to, or whose schema accepted its payload.
    pub async fn by_digest(&self, pool: &Pool, digest: Digest) -> Result<Arc<Release>, PublishError> {
        if let Some(release) = self.ready(digest) {
            return Ok(release);
        }
        // Jobs come by the hundred: the first one loads it for all.
        let turn = self.turn(digest);
        let _turn = turn.lock().await;
        if let Some(release) = self.ready(digest) {
            return Ok(release);
        }
        let stored = async {
            let mut db = pool.read().await?;
            releases::store::get(&mut db, digest).await
        };
        let stored = stored.await?.ok_or(PublishError::Missing)?;
        self.load(pool, stored).await
    }

    /// Brings this node to what serves now, as far as it is ready: a release that is not runs on other nodes only.
    pub async fn refresh(&self, pool: &Pool) -> sqlx::Result<Refreshed> {
        let _turn = self.refreshing.lock().await;
        let mut db = pool.read().await?;
        let standing = releases::store::standing(&mut db).await?;
        let waiting = releases::store::waiting(&mut db).await?;
        let quarantined = releases::store::quarantined(&mut db).await?;
        let jobs = standing.iter().flat_map(|plugin| &plugin.release.manifest.jobs);
        let named: Vec<_> = jobs.map(|job| job.job_type.clone()).collect();
        let dropped = releases::store::dropped(&mut db, &named).await?;
        drop(db);

        let generations: HashMap<_, _> =
            standing.iter().filter(|s| s.serves).map(|s| (s.release.digest, s.generation)).collect();
        let barred = self.lock_judge().bar(quarantined, &generations);
        let mut done = Refreshed {
            wanted: waiting.iter().any(|(_, release)| self.is_wanted(release.digest)),
            waiting: !waiting.is_empty(),
            ..Refreshed::default()
        };
        let mut next = Serving { generations, barred, ..Serving::default() };
        let (mut entries, mut unserved) = (BTreeMap::new(), Vec::new());
        for plugin in &standing {
            let digest = plugin.release.digest;
            let runs = plugin.serves && !next.barred.contains(&digest);
            let release = self.ready(digest).filter(|_| runs);
            done.wanted |= runs && self.is_wanted(digest);
            done.retiring |= plugin.retiring;
            for job in &plugin.release.manifest.jobs {
                match &release {
                    Some(release) => drop(next.by_type.insert(job.job_type.clone(), Arc::clone(release))),
                    None => unserved.push(job.job_type.clone()),
                }
            }
            self.enter(plugin, release.as_deref(), &mut entries);
        }
        for dropped in &dropped {
            enter_dropped(dropped, &mut entries);
        }
        next.unserved = Arc::new(unserved);
        self.tell_sql(pool, &entries).await?;
        let before = self.serving.load_full();
        if next.by_type.keys().any(|job_type| !before.by_type.contains_key(job_type)) {
            self.serves_more.store(true, Ordering::Relaxed);
        }
        // Submits are checked by the new schema before jobs run on the new code: the other order would run payloads
        // that only the old one took.
        self.catalog.replace(entries);
        self.serving.store(Arc::new(next));
        // What tripped while this was read is not known to the rows yet.
        self.suspend_tripped();
        Ok(done)
    }

    /// What submits must know of the job types of a plugin.
    fn enter(&self, plugin: &Standing, release: Option<&Release>, entries: &mut BTreeMap<String, Arc<CatalogEntry>>) {
        let manifest = &plugin.release.manifest;
        for job in &manifest.jobs {
            let validator = match release.and_then(|release| release.validators.get(&job.job_type)) {
                Some(validator) => Ok(Arc::clone(validator)),
                None => manifest::validator(&job.schema).map(Arc::new),
            };
            let serves = release.map(|release| release.digest);
            let entry = validator.and_then(|validator| {
                CatalogEntry::new(job.clone(), manifest.name.clone(), serves, validator).map_err(|e| e.to_string())
            });
            match entry {
                Ok(mut entry) => {
                    entry.retiring = plugin.retiring;
                    entries.insert(job.job_type.clone(), Arc::new(entry));
                }
                Err(error) => tracing::error!(job.kind = job.job_type, error, "a job type cannot take submits"),
            }
        }
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

    fn is_wanted(&self, digest: Digest) -> bool {
        self.ready(digest).is_none() && !self.is_unready(digest)
    }

    pub(super) fn ready(&self, digest: Digest) -> Option<Arc<Release>> {
        self.lock_digests().known.get(&digest).and_then(Weak::upgrade)
    }

    pub(super) fn lock_digests(&self) -> std::sync::MutexGuard<'_, ByDigest> {
        self.by_digest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_judge(&self) -> std::sync::MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came in for a type before what serves dropped it, by SQL or as a child, is checked by the last release that names
/// it, and runs there. New submits of it are refused.
fn enter_dropped(dropped: &Dropped, entries: &mut BTreeMap<String, Arc<CatalogEntry>>) {
    let manifest = &dropped.release.manifest;
    let Some(job) = manifest.jobs.iter().find(|job| job.job_type == dropped.job_type) else { return };
    let runs = (!dropped.quarantined).then_some(dropped.release.digest);
    let entry = manifest::validator(&job.schema).and_then(|validator| {
        CatalogEntry::new(job.clone(), manifest.name.clone(), runs, Arc::new(validator)).map_err(|e| e.to_string())
    });
    match entry {
        Ok(mut entry) => {
            entry.retiring = dropped.retiring;
            entry.dropped = true;
            entries.insert(job.job_type.clone(), Arc::new(entry));
        }
        Err(error) => {
            tracing::error!(job.kind = job.job_type, error, "jobs of a type that was dropped cannot be checked");
        }
    }
}
