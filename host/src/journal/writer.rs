use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::{error::Elapsed, timeout};

use super::store::{self, End, Start, Terms, Written};
use crate::{
    db::{Commit, Fault, Full, Gather, Pool, Session, Sizes},
    telemetry::metrics::{Collector, Histogram, commit_sizes},
};

/// Writes starts and ends of calls, those of a moment in one durable commit. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    /// For who writes alone: a batch must not wait behind one that waits for a lock.
    alone: Pool,
    starts: Gather<Starts>,
    ends: Gather<Ends>,
    /// Of the commits of starts, and of ends.
    sizes: [Histogram; 2],
}

/// A database that did not take it. It may have been written all the same.
pub type Failed = Arc<sqlx::Error>;

/// A commit of a few costs about as much as one of many: it begins beside another one only with a fair number.
const SIZES: Sizes = Sizes { batch: 256, in_flight: 2, beside: 32, waiting: 4_096 };
/// A batch must not stand behind somebody's lock, in milliseconds. Who is alone waits, and not for ever: its sender's time counts
/// from when it was let through.
const SHORT: &str = "250";
const PATIENT: &str = "10000";
/// A server that does not answer must not hold up all calls of this node. Longer than any wait for a lock.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

impl Writer {
    pub fn start(batches: &Pool, alone: &Pool) -> Self {
        let sizes = ["effect-start", "effect-end"].map(commit_sizes);
        let [of_starts, of_ends] = sizes.clone();
        Self {
            alone: alone.clone(),
            starts: Gather::start(Arc::new(Starts(batches.clone(), of_starts)), SIZES),
            ends: Gather::start(Arc::new(Ends(batches.clone(), of_ends)), SIZES),
            sizes,
        }
    }

    /// What is counted here.
    pub fn metrics(&self) -> Vec<Box<dyn Collector>> {
        let [starts, ends] = self.sizes.clone();
        vec![Box::new(starts), Box::new(ends)]
    }

    /// The number of the try; `None`: the fence let nothing through.
    pub async fn begin(&self, start: &Arc<Start>) -> Result<Option<i32>, Failed> {
        match put(&self.starts, Arc::clone(start)).await? {
            Told::Done(done) => done,
            Told::Alone => alone(write_starts(&self.alone, PATIENT, &[start]).await),
        }
    }

    /// What has become of the row; `None`: it was answered before, or this try is not the last one.
    pub async fn end(&self, end: &Arc<End>) -> Result<Option<Written>, Failed> {
        match put(&self.ends, Arc::clone(end)).await? {
            Told::Done(done) => done,
            Told::Alone => alone(write_ends(&self.alone, PATIENT, &[end]).await),
        }
    }
}

/// What an item of a batch hears.
enum Told<T> {
    Done(Result<Option<T>, Failed>),
    /// Nothing of the batch was written because of something in it: each tries by itself.
    Alone,
}

async fn put<C: Commit<Answer = Told<T>>, T>(queue: &Gather<C>, item: C::Item) -> Result<Told<T>, Failed> {
    let answer = queue.put(item).map_err(|Full| Arc::new(sqlx::Error::PoolTimedOut))?;
    answer.await.map_err(|_| Arc::new(sqlx::Error::WorkerCrashed))
}

fn alone<T>(written: sqlx::Result<Vec<Option<T>>>) -> Result<Option<T>, Failed> {
    written.map(|mut one| one.pop().flatten()).map_err(Arc::new)
}

/// One answer an item.
fn told<T>(items: usize, written: sqlx::Result<Vec<Option<T>>>) -> Vec<Told<T>> {
    match written {
        Ok(written) => written.into_iter().map(|one| Told::Done(Ok(one))).collect(),
        Err(error) => match Fault::of(&error) {
            Fault::Again | Fault::OneOfThem => (0..items).map(|_| Told::Alone).collect(),
            Fault::Away => {
                let error = Arc::new(error);
                (0..items).map(|_| Told::Done(Err(Arc::clone(&error)))).collect()
            }
        },
    }
}

struct Starts(Pool, Histogram);

impl Commit for Starts {
    type Item = Arc<Start>;
    type Answer = Told<i32>;

    async fn commit(&self, starts: &[Arc<Start>]) -> Vec<Told<i32>> {
        self.1.observe(starts.len() as f64);
        let written = write_starts(&self.0, SHORT, &starts.iter().map(|start| &**start).collect::<Vec<_>>()).await;
        told(starts.len(), written)
    }
}

struct Ends(Pool, Histogram);

impl Commit for Ends {
    type Item = Arc<End>;
    type Answer = Told<Written>;

    async fn commit(&self, ends: &[Arc<End>]) -> Vec<Told<Written>> {
        self.1.observe(ends.len() as f64);
        // One statement writes a row once: who speaks of it after another has to wait for that one.
        let mut rows = HashSet::with_capacity(ends.len());
        let (first, further): (Vec<_>, Vec<_>) = ends.iter().partition(|end| rows.insert((end.job, end.seq)));
        let written = write_ends(&self.0, SHORT, &first.iter().map(|end| &***end).collect::<Vec<_>>()).await;
        let mut first = told(first.len(), written).into_iter();
        let mut again = further.into_iter().peekable();
        ends.iter()
            .map(|end| match again.next_if(|further| Arc::ptr_eq(further, end)) {
                Some(_) => Told::Alone,
                None => first.next().unwrap_or(Told::Alone),
            })
            .collect()
    }
}

async fn write_starts(pool: &Pool, lock_timeout: &'static str, starts: &[&Start]) -> sqlx::Result<Vec<Option<i32>>> {
    let mut db = pool.write().await?;
    let tries = timeout(ANSWERS_WITHIN, store::start(&mut db, Terms::durable(pool, lock_timeout), starts)).await;
    done(db, tries).await
}

async fn write_ends(pool: &Pool, lock_timeout: &'static str, ends: &[&End]) -> sqlx::Result<Vec<Option<Written>>> {
    let mut db = pool.write().await?;
    let written = timeout(ANSWERS_WITHIN, store::end(&mut db, Terms::durable(pool, lock_timeout), ends)).await;
    done(db, written).await
}

async fn done<T>(db: Session, answer: Result<sqlx::Result<T>, Elapsed>) -> sqlx::Result<T> {
    let Ok(answer) = answer else {
        // Whoever got this connection next would wait behind the same silence.
        db.give_up();
        return Err(silent());
    };
    let answer = answer?;
    timeout(ANSWERS_WITHIN, db.done()).await.unwrap_or_else(|_| Err(silent()))?;
    Ok(answer)
}

fn silent() -> sqlx::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
