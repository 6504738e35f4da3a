use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ids::JobId;

/// Channel: "NODE JOB JOB …", somebody waits there for the end of these.
pub const WAITED: &str = "usher_waited";
/// Channel: "NODE JOB JOB …", these have ended there.
pub const ENDED: &str = "usher_ended";

/// Who waits on this node at a time.
const MOST: usize = 10_000;
/// And who of one tenant.
const MOST_OF_TENANT: usize = 1_000;
/// Jobs that other nodes wait for: beyond it their own look finds the end.
const MOST_ELSEWHERE: usize = 20_000;
/// The longest that a caller waits is a minute; what another node waits for is forgotten a little later.
const FORGOTTEN: Duration = Duration::from_secs(65);

/// Callers that wait for the end of a job, here and on other nodes. Whoever settles a job says so after the commit; that
/// costs one look at a number where nobody waits.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Jobs that somebody waits for, here or elsewhere.
    count: AtomicUsize,
    book: Mutex<Book>,
    begun: Notify,
    news: Notify,
}

#[derive(Debug, Default)]
struct Book {
    here: HashMap<JobId, Waited>,
    waiting: usize,
    of_tenant: HashMap<Arc<str>, usize>,
    serial: u64,
    closed: bool,
    elsewhere: HashMap<JobId, Instant>,
    untold: News,
}

#[derive(Debug)]
struct Waited {
    serial: u64,
    callers: usize,
    ended: CancellationToken,
}

impl Book {
    /// `None`: the tenant has all that it may have.
    fn take_place(&mut self, tenant: &str) -> Option<Arc<str>> {
        let tenant =
            self.of_tenant.get_key_value(tenant).map_or_else(|| Arc::from(tenant), |(known, _)| Arc::clone(known));
        let places = self.of_tenant.entry(Arc::clone(&tenant)).or_default();
        if *places >= MOST_OF_TENANT {
            return None;
        }
        *places += 1;
        Some(tenant)
    }

    fn give_place(&mut self, tenant: &str) {
        let Some(places) = self.of_tenant.get_mut(tenant) else { return };
        *places -= 1;
        if *places == 0 {
            self.of_tenant.remove(tenant);
        }
    }
}

/// What other nodes should hear.
#[derive(Debug, Default)]
pub struct News {
    pub waited: HashSet<JobId>,
    pub ended: HashSet<JobId>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.waited.is_empty() && self.ended.is_empty()
    }
}

/// A place among those that wait; dropped, it is free.
#[derive(Debug)]
pub struct Waiting {
    waits: Waits,
    tenant: Option<Arc<str>>,
    job: JobId,
    serial: u64,
    ended: CancellationToken,
}

impl Waiting {
    /// Comes when the job has ended after this place was taken, or when this host stops.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waits.leave(self);
    }
}

impl Waits {
    /// To be called before the look at the job's state, so that an end between the two is not missed. `tenant`: whose place it
    /// takes; an admin's is nobody's. `None`: there is no room, or the host stops.
    pub fn begin(&self, job: JobId, tenant: Option<&str>) -> Option<Waiting> {
        let mut book = self.book();
        if book.closed || book.waiting >= MOST {
            return None;
        }
        let tenant = match tenant {
            Some(tenant) => Some(book.take_place(tenant)?),
            None => None,
        };
        book.waiting += 1;
        book.serial += 1;
        let serial = book.serial;
        let waited =
            book.here.entry(job).or_insert_with(|| Waited { serial, callers: 0, ended: CancellationToken::new() });
        waited.callers += 1;
        let (serial, ended) = (waited.serial, waited.ended.clone());
        if waited.callers == 1 {
            book.untold.waited.insert(job);
            self.inner.news.notify_one();
            self.inner.begun.notify_one();
        }
        self.recount(&book);
        Some(Waiting { waits: self.clone(), tenant, job, serial, ended })
    }

    fn leave(&self, left: &Waiting) {
        let mut book = self.book();
        book.waiting = book.waiting.saturating_sub(1);
        if let Some(tenant) = &left.tenant {
            book.give_place(tenant);
        }
        // The entry of a job that has ended is gone, and the one that is there may be of somebody who came later.
        if let Some(waited) = book.here.get_mut(&left.job).filter(|waited| waited.serial == left.serial) {
            waited.callers -= 1;
            if waited.callers == 0 {
                book.here.remove(&left.job);
            }
        }
        self.recount(&book);
    }

    /// These ended here, and that is committed.
    pub fn ended(&self, jobs: &[JobId]) {
        if self.inner.count.load(Ordering::SeqCst) == 0 || jobs.is_empty() {
            return;
        }
        let mut book = self.book();
        for job in jobs {
            if let Some(waited) = book.here.remove(job) {
                waited.ended.cancel();
            }
            if book.elsewhere.remove(job).is_some() {
                book.untold.ended.insert(*job);
                self.inner.news.notify_one();
            }
        }
        self.recount(&book);
    }

    /// Another node, or a look into the tables, says so.
    pub fn heard_end(&self, jobs: &[JobId]) {
        let mut book = self.book();
        for job in jobs {
            if let Some(waited) = book.here.remove(job) {
                waited.ended.cancel();
            }
        }
        self.recount(&book);
    }

    /// Another node waits for these.
    pub fn heard_wait(&self, jobs: &[JobId]) {
        let mut book = self.book();
        book.elsewhere.retain(|_, since| since.elapsed() < FORGOTTEN);
        let room = MOST_ELSEWHERE.saturating_sub(book.elsewhere.len());
        book.elsewhere.extend(jobs.iter().take(room).map(|job| (*job, Instant::now())));
        self.recount(&book);
    }

    /// What is waited for here.
    pub fn here(&self) -> Vec<JobId> {
        let mut book = self.book();
        book.elsewhere.retain(|_, since| since.elapsed() < FORGOTTEN);
        self.recount(&book);
        book.here.keys().copied().collect()
    }

    /// Somebody began to wait.
    pub async fn begun(&self) {
        self.inner.begun.notified().await;
    }

    pub async fn news(&self) -> News {
        loop {
            self.inner.news.notified().await;
            let untold = mem::take(&mut self.book().untold);
            if !untold.is_empty() {
                return untold;
            }
        }
    }

    /// The host stops: all are answered, and nobody waits any more.
    pub fn close(&self) {
        let mut book = self.book();
        book.closed = true;
        book.here.drain().for_each(|(_, waited)| waited.ended.cancel());
        self.recount(&book);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.inner.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recount(&self, book: &Book) {
        self.inner.count.store(book.here.len() + book.elsewhere.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_wakes_those_that_wait_and_frees_their_places() {
        let waits = Waits::default();
        let (job, other) = (JobId::new(), JobId::new());
        let (one, two) = (waits.begin(job, None).expect("room"), waits.begin(job, None).expect("room"));
        let third = waits.begin(other, None).expect("room");
        waits.ended(&[job]);
        one.ended().await;
        two.ended().await;
        assert!(!third.ended.is_cancelled());
        // Somebody who comes later has a place of their own, which those of before do not take along.
        let late = waits.begin(job, None).expect("room");
        drop((one, two));
        assert_eq!(waits.here().len(), 2);
        drop((late, third));
        assert!(waits.here().is_empty());
        assert_eq!(waits.inner.count.load(Ordering::SeqCst), 0, "a settlement looks no further");
    }

    #[tokio::test]
    async fn other_nodes_hear_of_ends_that_they_wait_for_and_of_no_others() {
        let waits = Waits::default();
        let (job, other) = (JobId::new(), JobId::new());
        waits.heard_wait(&[job]);
        waits.ended(&[job, other]);
        assert_eq!(waits.news().await.ended, HashSet::from([job]));
        let _waiting = waits.begin(other, None).expect("room");
        assert_eq!(waits.news().await.waited, HashSet::from([other]));
    }

    #[test]
    fn one_tenant_does_not_take_the_places_of_all() {
        let waits = Waits::default();
        let mut all: Vec<_> = std::iter::from_fn(|| waits.begin(JobId::new(), Some("t1"))).collect();
        assert_eq!(all.len(), MOST_OF_TENANT);
        let _other = waits.begin(JobId::new(), Some("t2")).expect("room");
        all.pop();
        all.push(waits.begin(JobId::new(), Some("t1")).expect("room again"));
        drop(all);
        assert_eq!(waits.book().of_tenant.len(), 1, "nothing is left of those that are gone");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_host_that_stops() {
        let waits = Waits::default();
        let waiting = waits.begin(JobId::new(), None).expect("room");
        waits.close();
        waiting.ended().await;
        assert!(waits.begin(JobId::new(), None).is_none());
    }
}
