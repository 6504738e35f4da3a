use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{Accepted, Enqueued, PreparedJob, SubmitError, commit};
use crate::{
    ids::Tier,
    queue::{Bell, Lanes, Ready},
};

/// Most submits of one commit.
const BATCH: usize = 128;
/// Commits under way at once, a tier.
const IN_FLIGHT: usize = 2;
/// Submits that wait for a commit, a tier; beyond it the answer is 503.
const WAITING: usize = 4_096;

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
}

impl Batcher {
    pub fn start(pool: &PgPool, tier: Tier, bell: &Bell, lanes: &Lanes) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..IN_FLIGHT {
            let committer = Committer { pool: pool.clone(), tier, bell: bell.clone(), lanes: lanes.clone() };
            tokio::spawn(committer.run(Arc::clone(&waiting)));
        }
        Self { queue }
    }

    pub async fn submit(&self, job: PreparedJob) -> Answer {
        let (answer, result) = oneshot::channel();
        self.queue.try_send(Pending { job, answer }).map_err(|_| SubmitError::Busy)?;
        // The committer answers each submit it took; it is gone only when the host ends.
        result.await.unwrap_or(Err(SubmitError::Unavailable(None)))
    }
}

struct Committer {
    pool: PgPool,
    tier: Tier,
    bell: Bell,
    lanes: Lanes,
}

impl Committer {
    async fn run(self, waiting: Arc<Mutex<mpsc::Receiver<Pending>>>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if waiting.lock().await.recv_many(&mut batch, BATCH).await == 0 {
                return;
            }
            let (jobs, answers): (Vec<_>, Vec<_>) =
                batch.drain(..).map(|pending| (pending.job, pending.answer)).unzip();
            let mut ready = Vec::new();
            let results = self.commit_all(&jobs.iter().collect::<Vec<_>>(), &mut ready).await;
            self.bell.ready(&ready);
            for (job, result) in jobs.iter().zip(&results) {
                if let (Ok(Accepted::New(_)), Some(delay)) = (result, job.due_in()) {
                    self.bell.due_in(delay);
                }
            }
            for (answer, result) in answers.into_iter().zip(results) {
                // A caller that went away has its job all the same.
                let _ = answer.send(result);
            }
        }
    }

    /// The batch as one; where the database refuses something in it, one by one, so that only the bad one is told.
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
                        let mut results = Vec::with_capacity(jobs.len());
                        for job in jobs {
                            results.extend(Box::pin(self.commit_all(std::slice::from_ref(job), ready)).await);
                        }
                        return results;
                    }
                    Fault::OneOfThem | Fault::Away => {
                        last = Some(error);
                        break;
                    }
                },
            }
        }
        tracing::error!(
            error = last.as_ref().map(tracing::field::display),
            jobs = jobs.len(),
            tier = self.tier.as_i16(),
            "submits could not be committed"
        );
        jobs.iter().map(|_| Err(SubmitError::Unavailable(last.take()))).collect()
    }

    async fn commit_once(&self, jobs: &[&PreparedJob]) -> sqlx::Result<Enqueued> {
        let mut tx = self.pool.begin_with(begin(self.tier)).await?;
        let done = commit::enqueue(&mut tx, self.tier, jobs, &self.lanes).await?;
        tx.commit().await?;
        Ok(done)
    }
}

/// A bounded wait for locks: a batch must not stand behind somebody's forgotten transaction.
pub(super) fn begin(tier: Tier) -> &'static str {
    match tier {
        Tier::Money => "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = 250",
        Tier::Communication | Tier::Background => {
            "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = 250"
        }
    }
}

/// What a refused batch calls for, by SQLSTATE.
enum Fault {
    /// 40*: serialization, deadlock.
    Again,
    /// 22*, 23*, lock time-out: something about one of the rows.
    OneOfThem,
    Away,
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
