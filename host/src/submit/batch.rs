use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{Accepted, Enqueued, PreparedJob, SubmitError, commit, store};
use crate::{
    db::{Commit, Fault, Gather, Pool, Sizes, is_lock_timeout},
    ids::{JobId, Tier},
    queue::{Bell, Lanes, Ready},
    telemetry::metrics::Histogram,
};

/// A commit of a few costs about as much as one of many, so it begins beside another one only with a fair number. Beyond
/// what may wait the answer is 503.
const SIZES: Sizes = Sizes { batch: 128, in_flight: 2, beside: 32, waiting: 4_096 };
/// Bulks under way at once, a tier: one more, since each is long and its last part is waiting for the disk.
const BULKS: usize = 3;
/// A caller hears this soon, also of a database that does not answer.
const SOON: Duration = Duration::from_secs(3);
/// How long a bulk may wait for the bulks before it.
const PATIENCE: Duration = Duration::from_secs(5);

type Answer = Result<Accepted, SubmitError>;

/// Group commit of one tier.
#[derive(Clone)]
pub(super) struct Batcher {
    queue: Gather<Committer>,
    committer: Arc<Committer>,
    bulks: Arc<Semaphore>,
}

impl Batcher {
    pub fn start(pool: &Pool, tier: Tier, bell: &Bell, lanes: &Lanes, sizes: &Histogram) -> Self {
        let (bell, lanes, sizes) = (bell.clone(), lanes.clone(), sizes.clone());
        let committer = Arc::new(Committer { pool: pool.clone(), tier, bell, lanes, sizes });
        let queue = Gather::start(Arc::clone(&committer), SIZES);
        Self { queue, committer, bulks: Arc::new(Semaphore::new(BULKS)) }
    }

    /// A batch of its own, that single submits need not wait for.
    pub async fn submit_all(&self, jobs: &[&PreparedJob]) -> Vec<Answer> {
        match tokio::time::timeout(PATIENCE, self.bulks.acquire()).await {
            Ok(_turn) => self.committer.commit_and_tell(jobs).await,
            Err(_) => jobs.iter().map(|_| Err(SubmitError::Busy)).collect(),
        }
    }

    pub async fn submit(&self, job: PreparedJob) -> Answer {
        let result = self.queue.put(job).map_err(|_| SubmitError::Busy)?;
        match tokio::time::timeout(SOON, result).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(SubmitError::Unavailable(None)),
        }
    }
}

struct Committer {
    pool: Pool,
    tier: Tier,
    bell: Bell,
    lanes: Lanes,
    /// Of the commits.
    sizes: Histogram,
}

impl Commit for Committer {
    type Item = PreparedJob;
    type Answer = Answer;

    async fn commit(&self, jobs: &[PreparedJob]) -> Vec<Answer> {
        self.commit_and_tell(&jobs.iter().collect::<Vec<_>>()).await
    }
}

impl Committer {
    /// Commits, and tells the claimer.
    async fn commit_and_tell(&self, jobs: &[&PreparedJob]) -> Vec<Answer> {
        self.sizes.observe(jobs.len() as f64);
        let mut ready = Vec::new();
        let results = self.commit_short(jobs, &mut ready).await;
        self.bell.ready(&ready);
        self.bell.changed();
        for (job, result) in jobs.iter().zip(&results) {
            if let (Ok(Accepted::New(_)), Some(delay)) = (result, job.due_in()) {
                self.bell.due_in(delay);
            }
        }
        results
    }

    /// The short way for what can go it, the long way for the rest.
    async fn commit_short(&self, jobs: &[&PreparedJob], ready: &mut Vec<Ready>) -> Vec<Answer> {
        let simple: Vec<_> = jobs.iter().copied().filter(|job| store::is_simple(job)).collect();
        let mut answers: HashMap<JobId, Answer> = HashMap::with_capacity(jobs.len());
        match self.insert(&simple).await {
            Ok(taken) => {
                ready.extend(taken.ready);
                answers.extend(taken.jobs.into_iter().map(|id| (id, Ok(Accepted::New(id)))));
            }
            Err(error) => match Fault::of(&error) {
                // Nothing of it was written.
                Fault::Again | Fault::OneOfThem => {}
                // It may be written: a second time would meet itself.
                Fault::Away => {
                    self.complain(&error, simple.len());
                    answers.extend(simple.iter().map(|job| (job.id(), Err(SubmitError::Unavailable(None)))));
                }
            },
        }
        let rest: Vec<_> = jobs.iter().copied().filter(|job| !answers.contains_key(&job.id())).collect();
        if !rest.is_empty() {
            let long = self.commit_all(&rest, ready).await;
            answers.extend(rest.iter().map(|job| job.id()).zip(long));
        }
        let answer = |job: &&PreparedJob| answers.remove(&job.id()).unwrap_or(Err(SubmitError::Unavailable(None)));
        jobs.iter().map(answer).collect()
    }

    async fn insert(&self, simple: &[&PreparedJob]) -> sqlx::Result<store::Taken> {
        if simple.is_empty() {
            return Ok(store::Taken::default());
        }
        let mut db = self.pool.write().await?;
        let commit = self.pool.synchronous_commit(self.tier);
        let taken = store::insert(&mut db, self.tier, commit, simple, &self.lanes).await?;
        db.done().await?;
        Ok(taken)
    }

    /// The batch as one; where the database refuses something in it, its halves, so that only the bad one is told.
    async fn commit_all(&self, jobs: &[&PreparedJob], ready: &mut Vec<Ready>) -> Vec<Answer> {
        let mut last = None;
        for _ in 0..3 {
            match self.commit_once(jobs).await {
                Ok(done) => {
                    ready.extend(done.ready);
                    return done.results;
                }
                Err(error) => match Fault::of(&error) {
                    Fault::Again => last = Some(error),
                    Fault::OneOfThem if jobs.len() > 1 => {
                        let (first, second) = jobs.split_at(jobs.len() / 2);
                        let mut results = Box::pin(self.commit_all(first, ready)).await;
                        results.extend(Box::pin(self.commit_all(second, ready)).await);
                        return results;
                    }
                    // Somebody holds its key for a moment, perhaps.
                    Fault::OneOfThem if is_lock_timeout(&error) => last = Some(error),
                    Fault::OneOfThem | Fault::Away => {
                        last = Some(error);
                        break;
                    }
                },
            }
        }
        if let Some(error) = &last {
            self.complain(error, jobs.len());
        }
        jobs.iter().map(|_| Err(SubmitError::Unavailable(last.take()))).collect()
    }

    fn complain(&self, error: &sqlx::Error, jobs: usize) {
        tracing::error!(error = %error, jobs, tier = self.tier.as_i16(), "submits could not be committed");
    }

    async fn commit_once(&self, jobs: &[&PreparedJob]) -> sqlx::Result<Enqueued> {
        let mut tx = self.pool.begin_for(self.tier, LOCK_TIMEOUT).await?;
        let done = commit::enqueue(&mut tx, self.tier, jobs, &self.lanes).await?;
        tx.commit().await?;
        Ok(done)
    }
}

/// A bounded wait for locks: a batch must not stand behind somebody's forgotten transaction.
pub(super) const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = 250";
