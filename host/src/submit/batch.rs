use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{Accepted, PreparedJob, SubmitError, commit};
use crate::{ids::Tier, queue::Bell};

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
    pub fn start(pool: &PgPool, tier: Tier, bell: &Bell) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..IN_FLIGHT {
            tokio::spawn(run(pool.clone(), tier, bell.clone(), Arc::clone(&waiting)));
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

async fn run(pool: PgPool, tier: Tier, bell: Bell, waiting: Arc<Mutex<mpsc::Receiver<Pending>>>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if waiting.lock().await.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let (jobs, answers): (Vec<_>, Vec<_>) = batch.drain(..).map(|pending| (pending.job, pending.answer)).unzip();
        let results = commit_all(&pool, tier, &jobs).await;
        for job in jobs.iter().zip(&results).filter(|(_, r)| matches!(r, Ok(Accepted::New(_)))).map(|(job, _)| job) {
            ring(&bell, job);
        }
        for (answer, result) in answers.into_iter().zip(results) {
            // A caller that went away has its job all the same.
            let _ = answer.send(result);
        }
    }
}

/// Rings for a job that has been committed.
pub fn ring(bell: &Bell, job: &PreparedJob) {
    let ahead = job.row.run_at.map_or(job.row.delay_ms, |at| (at - chrono::Utc::now()).num_milliseconds());
    match u64::try_from(ahead) {
        _ if job.row.blocked => {}
        Ok(ms) if ms > 0 => bell.due_in(std::time::Duration::from_millis(ms)),
        Ok(_) | Err(_) => bell.ready(&job.row.queue),
    }
}

/// The batch as one; where the database refuses something in it, one by one, so that only the bad one is told.
async fn commit_all(pool: &PgPool, tier: Tier, jobs: &[PreparedJob]) -> Vec<Answer> {
    let mut last = None;
    for _ in 0..3 {
        match commit_once(pool, tier, jobs).await {
            Ok(results) => return results,
            Err(error) => match Fault::of(&error) {
                Fault::Again => last = Some(error),
                Fault::OneOfThem if jobs.len() > 1 => {
                    let mut results = Vec::with_capacity(jobs.len());
                    for job in jobs {
                        results.extend(Box::pin(commit_all(pool, tier, std::slice::from_ref(job))).await);
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
        tier = tier.as_i16(),
        "submits could not be committed"
    );
    let mut last = last;
    jobs.iter().map(|_| Err(SubmitError::Unavailable(last.take()))).collect()
}

async fn commit_once(pool: &PgPool, tier: Tier, jobs: &[PreparedJob]) -> sqlx::Result<Vec<Answer>> {
    let mut tx = pool.begin_with(begin(tier)).await?;
    let results = commit::enqueue(&mut tx, tier, jobs).await?;
    tx.commit().await?;
    Ok(results)
}

/// A bounded wait for locks: a batch must not stand behind somebody's forgotten transaction.
fn begin(tier: Tier) -> &'static str {
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
