use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, Notify, Semaphore, mpsc, oneshot};

use super::{Accepted, Enqueued, PreparedJob, SubmitError, commit, store};
use crate::{
    db::Pool,
    ids::{JobId, Tier},
    queue::{Bell, Lanes, Ready},
};

/// Most submits of one commit.
const BATCH: usize = 128;
/// Commits under way at once, a tier.
const IN_FLIGHT: usize = 2;
/// A commit begins beside another one only with this many submits: a commit of a few costs about as much as one of many.
const BESIDE: usize = 32;
/// Bulks under way at once, a tier: one more, since each is long and its last part is waiting for the disk.
const BULKS: usize = 3;
/// Submits that wait for a commit, a tier; beyond it the answer is 503.
const WAITING: usize = 4_096;

/// A caller hears this soon, also of a database that does not answer.
const SOON: Duration = Duration::from_secs(3);
/// How long a bulk may wait for the bulks before it.
const PATIENCE: Duration = Duration::from_secs(5);

type Answer = Result<Accepted, SubmitError>;

/// A submit and the caller that waits for it.
pub(super) struct Pending {
    job: PreparedJob,
    answer: oneshot::Sender<Answer>,
}

/// Group commit of one tier. There is no timer: a batch is what queued up while the last commit ran.
#[derive(Clone)]
pub(super) struct Batcher {
    queue: mpsc::Sender<Pending>,
    committer: Arc<Committer>,
    bulks: Arc<Semaphore>,
}

impl Batcher {
    pub fn start(pool: &Pool, tier: Tier, bell: &Bell, lanes: &Lanes) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let committer = Arc::new(Committer {
            pool: pool.clone(),
            tier,
            bell: bell.clone(),
            lanes: lanes.clone(),
            under_way: AtomicUsize::new(0),
            ended: Notify::new(),
        });
        for _ in 0..IN_FLIGHT {
            tokio::spawn(Arc::clone(&committer).run(Arc::clone(&waiting)));
        }
        Self { queue, committer, bulks: Arc::new(Semaphore::new(BULKS)) }
    }

    /// A batch of its own, that single submits need not wait for.
    pub async fn submit_all(&self, jobs: &[&PreparedJob]) -> Vec<Answer> {
        match tokio::time::timeout(PATIENCE, self.bulks.acquire()).await {
            Ok(_turn) => self.committer.commit(jobs).await,
            Err(_) => jobs.iter().map(|_| Err(SubmitError::Busy)).collect(),
        }
    }

    pub async fn submit(&self, job: PreparedJob) -> Answer {
        let (answer, result) = oneshot::channel();
        self.queue.try_send(Pending { job, answer }).map_err(|_| SubmitError::Busy)?;
        // The committer answers each submit it took; it is gone only when the host ends.
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
    /// Commits of single submits.
    under_way: AtomicUsize,
    ended: Notify,
}

/// One of `under_way`, also where its commit panics.
struct UnderWay<'a>(&'a Committer);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.notify_one();
    }
}

impl Committer {
    async fn run(self: Arc<Self>, waiting: Arc<Mutex<mpsc::Receiver<Pending>>>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let Some(under_way) = self.gather(&mut *waiting.lock().await, &mut batch).await else { return };
            // Who was told to come again while it waited must not come twice.
            batch.retain(|pending| !pending.answer.is_closed());
            if batch.is_empty() {
                continue;
            }
            let (jobs, answers): (Vec<_>, Vec<_>) =
                batch.drain(..).map(|pending| (pending.job, pending.answer)).unzip();
            let results = self.commit(&jobs.iter().collect::<Vec<_>>()).await;
            drop(under_way);
            for (answer, result) in answers.into_iter().zip(results) {
                // A caller that went away has its job all the same.
                let _ = answer.send(result);
            }
        }
    }

    /// What waits, at least one; more of it while another commit is under way. `None`: the host ends.
    async fn gather(&self, queue: &mut mpsc::Receiver<Pending>, batch: &mut Vec<Pending>) -> Option<UnderWay<'_>> {
        let mut open = queue.recv_many(batch, BATCH).await > 0;
        while open && batch.len() < BESIDE && self.under_way.load(Ordering::Relaxed) > 0 {
            let room = BATCH - batch.len();
            tokio::select! {
                more = queue.recv_many(batch, room) => open = more > 0,
                () = self.ended.notified() => {}
            }
        }
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(self);
        (!batch.is_empty()).then_some(under_way)
    }

    /// Commits, and tells the claimer.
    async fn commit(&self, jobs: &[&PreparedJob]) -> Vec<Answer> {
        let mut ready = Vec::new();
        let results = self.commit_short(jobs, &mut ready).await;
        self.bell.ready(&ready);
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

/// What a refused batch calls for, by SQLSTATE.
enum Fault {
    /// 40*: serialization, deadlock.
    Again,
    /// 22*, 23*, lock time-out: something about one of the rows.
    OneOfThem,
    Away,
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("55P03")
}

impl Fault {
    fn of(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        match code.as_deref() {
            Some(code) if code.starts_with("40") => Self::Again,
            Some(code) if code.starts_with("22") || code.starts_with("23") || code == "55P03" => Self::OneOfThem,
            _ => Self::Away,
        }
    }
}
