use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use crate::{clock::Boottime, db::Pool, queue};

/// A count that is older is looked at anew.
const FRESH: Duration = Duration::from_secs(1);
/// Who nobody asks about for this long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How long a submit waits for a count, before it goes without.
const SOON: Duration = Duration::from_secs(1);
/// Tenants of one statement.
const BATCH: usize = 256;
/// Counting takes no more than this part of the time, however many live jobs there are: after each look a pause of so many
/// times what it took.
const PAUSE: u32 = 9;

/// How many live jobs tenants have in the queues that bound them. An estimate of this node: it counts what it takes itself,
/// and looks once a second how many there are; so all nodes together may take as much too many as they take in that time.
#[derive(Clone)]
pub struct Quotas(Arc<Inner>);

struct Inner {
    pool: Pool,
    /// By queue; `*` is the others.
    most: BTreeMap<String, u32>,
    counts: Mutex<HashMap<Place, Count>>,
    wanted: Notify,
    /// Rings after each look.
    looked: watch::Sender<()>,
}

/// Queue and tenant.
type Place = (String, String);

#[derive(Debug, Default)]
struct Count {
    /// As of the last look. `None`: nobody has looked yet.
    live: Option<u32>,
    /// Taken here since then: before the look that is under way began, and since it has begun.
    before: u32,
    since: u32,
    looked: Option<Boottime>,
    asked: Option<Boottime>,
    is_wanted: bool,
}

impl Count {
    fn is_fresh(&self, now: Boottime) -> bool {
        self.looked.is_some_and(|at| now.since(at) < FRESH)
    }

    fn live(&self) -> u32 {
        self.live.unwrap_or(0).saturating_add(self.before).saturating_add(self.since)
    }
}

/// A tenant has as many live jobs in this queue as it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    pub queue: String,
    pub most: u32,
}

impl Quotas {
    /// Starts the one who looks, if there is anything to look for.
    pub fn start(pool: &Pool, most: &BTreeMap<String, u32>) -> Self {
        let (looked, _) = watch::channel(());
        let inner = Arc::new(Inner {
            pool: pool.clone(),
            most: most.clone(),
            counts: Mutex::default(),
            wanted: Notify::new(),
            looked,
        });
        if !most.is_empty() {
            tokio::spawn(run(Arc::clone(&inner)));
        }
        Self(inner)
    }

    /// Whether any queue has a bound.
    pub fn is_any(&self) -> bool {
        !self.0.most.is_empty()
    }

    /// Counts so many more jobs of this tenant in this queue, or says that they are too many.
    pub async fn take(&self, queue: &str, tenant: &str, count: u32) -> Result<(), Full> {
        let Some(most) = self.0.most(queue) else { return Ok(()) };
        let place = (queue.to_owned(), tenant.to_owned());
        // Before the question, so that its answer is not missed.
        let mut looked = self.0.looked.subscribe();
        let last = tokio::time::Instant::now() + SOON;
        loop {
            let is_last = tokio::time::Instant::now() >= last;
            let taken = self.0.take(&place, most, count, is_last);
            match taken {
                Taken::Yes => return Ok(()),
                Taken::No => return Err(Full { queue: place.0, most }),
                Taken::Unknown => {}
            }
            let _ = tokio::time::timeout_at(last, looked.changed()).await;
        }
    }
}

enum Taken {
    Yes,
    No,
    /// Somebody must look first.
    Unknown,
}

impl Inner {
    fn most(&self, queue: &str) -> Option<u32> {
        self.most.get(queue).or_else(|| self.most.get("*")).copied()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Place, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, place: &Place, most: u32, count: u32, is_last: bool) -> Taken {
        let (mut counts, now) = (self.counts(), Boottime::now());
        let known = counts.entry(place.clone()).or_default();
        known.asked = Some(now);
        let is_fresh = known.is_fresh(now);
        if !is_fresh && !known.is_wanted {
            known.is_wanted = true;
            self.wanted.notify_one();
        }
        let fits = known.live().saturating_add(count) <= most;
        match known.live {
            // Nobody could look: better one too many than none at all.
            None if !is_last => Taken::Unknown,
            // Perhaps some have ended since.
            Some(_) if !fits && !is_fresh && !is_last => Taken::Unknown,
            Some(_) if !fits => Taken::No,
            _ => {
                known.since = known.since.saturating_add(count);
                Taken::Yes
            }
        }
    }

    /// Those that somebody asks about and whose count is old. What is taken from now on is counted anew.
    fn wanted(&self) -> Vec<(Place, u32)> {
        let (mut counts, now) = (self.counts(), Boottime::now());
        counts.retain(|_, known| known.is_wanted || known.asked.is_some_and(|at| now.since(at) < FORGOTTEN));
        let wanted = counts.iter_mut().filter(|(_, known)| known.is_wanted).take(BATCH);
        let begin = |(place, known): (&Place, &mut Count)| {
            (known.before, known.since) = (known.since, 0);
            Some((place.clone(), self.most(&place.0)?))
        };
        wanted.filter_map(begin).collect()
    }

    /// `live`: nobody could look; what was known and taken holds for one more time.
    fn learn(&self, wanted: &[(Place, u32)], live: Option<&[i64]>) {
        let (mut counts, now) = (self.counts(), Boottime::now());
        for (n, (place, _)) in wanted.iter().enumerate() {
            let Some(known) = counts.get_mut(place) else { continue };
            match live.and_then(|live| live.get(n)) {
                Some(live) => known.live = Some(u32::try_from(*live).unwrap_or(u32::MAX)),
                None => known.live = Some(known.live.unwrap_or(0).saturating_add(known.before)),
            }
            known.before = 0;
            known.looked = Some(now);
            known.is_wanted = false;
        }
    }
}

async fn run(inner: Arc<Inner>) {
    loop {
        inner.wanted.notified().await;
        loop {
            let wanted = inner.wanted();
            if wanted.is_empty() {
                break;
            }
            let began = Boottime::now();
            match look(&inner, &wanted).await {
                Ok(live) => inner.learn(&wanted, Some(&live)),
                Err(error) => {
                    tracing::warn!(error = %error, "live jobs of tenants could not be counted");
                    inner.learn(&wanted, None);
                }
            }
            inner.looked.send_replace(());
            tokio::time::sleep(began.elapsed() * PAUSE).await;
        }
    }
}

async fn look(inner: &Inner, wanted: &[(Place, u32)]) -> sqlx::Result<Vec<i64>> {
    // No further than it matters, and no longer than a submit waits.
    let mut tx = inner.pool.begin_with("SET LOCAL statement_timeout = '1s'").await?;
    let (mut queues, mut tenants, mut most) = (Vec::new(), Vec::new(), Vec::new());
    for ((queue, tenant), bound) in wanted {
        queues.push(queue.clone());
        tenants.push(tenant.clone());
        most.push(i64::from(*bound));
    }
    let live = queue::store::live(&mut tx, &queues, &tenants, &most).await?;
    tx.commit().await?;
    Ok(live)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner() -> Inner {
        let pool = Pool::lazy("postgres://nobody@127.0.0.1:1/none").expect("lazy");
        let most = BTreeMap::from([("money".to_owned(), 3), ("*".to_owned(), 5)]);
        Inner { pool, most, counts: Mutex::default(), wanted: Notify::new(), looked: watch::channel(()).0 }
    }

    fn place() -> Place {
        ("money".to_owned(), "t".to_owned())
    }

    #[tokio::test]
    async fn nobody_is_let_in_before_somebody_looked_unless_nobody_can() {
        let inner = inner();
        assert!(matches!(inner.take(&place(), 3, 1, false), Taken::Unknown));
        assert!(matches!(inner.take(&place(), 3, 1, true), Taken::Yes));
        assert_eq!(inner.wanted(), [(place(), 3)]);
        assert_eq!((inner.most("money"), inner.most("other")), (Some(3), Some(5)));
    }

    #[tokio::test]
    async fn what_is_taken_since_the_look_began_counts_on_top() {
        let inner = inner();
        assert!(matches!(inner.take(&place(), 3, 1, false), Taken::Unknown));
        let wanted = inner.wanted();
        inner.learn(&wanted, Some(&[1]));
        assert!(matches!(inner.take(&place(), 3, 2, false), Taken::Yes));
        assert!(matches!(inner.take(&place(), 3, 1, false), Taken::No), "the look is fresh");
        // A look that fails takes nothing back.
        inner.counts().get_mut(&place()).expect("known").is_wanted = true;
        let wanted = inner.wanted();
        inner.learn(&wanted, None);
        assert!(matches!(inner.take(&place(), 3, 1, false), Taken::No));
    }
}
