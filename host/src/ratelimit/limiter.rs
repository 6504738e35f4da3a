use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    Bucket, Pass,
    ask::{self, Ask, Verdict},
    book::Book,
    entry,
    pots::Pots,
    store,
    terms::Terms,
};
use crate::{
    clock::Boottime,
    config::{RateLimit, RateLimits},
    db::Pool,
    ids::EffectId,
};

/// Calls that wait for this node's statement; those beyond wait for a place here.
const WAITING: usize = 4_096;
/// The longest that a provider's Retry-After is believed.
const LONGEST_HOLD: Duration = Duration::from_secs(3_600);
/// Of calls that fail together each has its own Retry-After; one that says hardly more than is known changes nothing.
const HARDLY: Duration = Duration::from_millis(50);
/// Whoever waits for longer than this looks halfway whether a change or somebody's leaving has brought its time nearer.
const LONG: Duration = Duration::from_secs(60);

/// Lets calls pass, as often as their buckets allow. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    pub(super) shared: Arc<Shared>,
    asks: mpsc::Sender<Ask>,
    pub(super) entries: mpsc::Sender<entry::Ask>,
}

pub(super) struct Shared {
    pub pool: Pool,
    pub patience: Duration,
    state: Mutex<State>,
    /// The rows as somebody was last shown them, and when the look at them began.
    pub listed: tokio::sync::Mutex<Option<Listed>>,
}

type Listed = (Instant, Arc<Vec<store::Row>>);

/// What this node knows, and what it has.
pub(super) struct State {
    pub book: Book,
    pub pots: Pots,
    pub counts: Counts,
    /// Of buckets of submits.
    pub rooms: entry::Rooms,
}

/// How often what is here was enough.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Tokens that were here, and that had to be asked for.
    taken: u64,
    asked: u64,
    /// Limits that were looked up, and readings of them all.
    looked_up: u64,
    read: u64,
}

/// What a call needs beyond what this node has.
enum Need {
    Nothing,
    Wait(Duration),
    Ask { missing: Vec<(Bucket, Terms)>, taken: Vec<Token> },
}

/// One that was here.
struct Token {
    bucket: Bucket,
    terms: Terms,
    /// It is good until then.
    until: Boottime,
}

impl Limiter {
    /// Knows the configuration's limits; those set at run time after the first [`Self::refresh`].
    pub fn start(pool: &Pool, config: &RateLimits) -> Self {
        let state = State::new(config.buckets.clone());
        let shared = Arc::new(Shared {
            pool: pool.clone(),
            patience: config.patience,
            state: Mutex::new(state),
            listed: tokio::sync::Mutex::default(),
        });
        let (asks, waiting) = mpsc::channel(WAITING);
        tokio::spawn(ask::run(Arc::clone(&shared), waiting));
        let (entries, entering) = mpsc::channel(WAITING);
        tokio::spawn(entry::run(Arc::clone(&shared), entering));
        Self { shared, asks, entries }
    }

    /// Whether this call may be made: by all of its buckets, or it takes from none. A wait within `patience` is waited
    /// here. An error means that nobody knows, so it must not be made.
    pub async fn take(&self, effect: EffectId, buckets: &[Bucket]) -> Result<Pass, sqlx::Error> {
        let need = self.shared.state().need(effect, buckets, Boottime::now());
        let (missing, taken) = match need {
            Need::Nothing => return Ok(Pass::Go),
            Need::Wait(wait) => return Ok(self.wait(wait).await),
            Need::Ask { missing, taken } => (missing, taken),
        };
        let verdict = self.ask(effect, missing).await;
        if !matches!(&verdict, Ok(verdict) if verdict.goes) {
            self.shared.state().give_back(&taken);
        }
        let verdict = verdict?;
        if !verdict.goes {
            return Ok(Pass::Later(come_back(verdict.wait)));
        }
        // A hold that came meanwhile, or that could not be written down.
        let held = self.shared.state().held(buckets, Boottime::now());
        if let Pass::Later(wait) = self.wait(verdict.wait.max(held)).await {
            return Ok(Pass::Later(wait));
        }
        // What was here died while it waited: it is asked for like the rest.
        let now = Boottime::now();
        let dead = taken.into_iter().filter(|token| token.until <= now).map(|token| (token.bucket, token.terms));
        let dead: Vec<_> = dead.collect();
        if dead.is_empty() {
            return Ok(Pass::Go);
        }
        let verdict = self.ask(effect, dead).await?;
        if verdict.goes { Ok(self.wait(verdict.wait).await) } else { Ok(Pass::Later(come_back(verdict.wait))) }
    }

    async fn ask(&self, effect: EffectId, buckets: Vec<(Bucket, Terms)>) -> sqlx::Result<Verdict> {
        let (answer, verdict) = oneshot::channel();
        // The task ends only with the host.
        self.asks.send(Ask { effect, buckets, answer }).await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        verdict.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    async fn wait(&self, wait: Duration) -> Pass {
        if wait > self.shared.patience {
            return Pass::Later(wait);
        }
        tokio::time::sleep(wait).await;
        Pass::Go
    }

    /// A provider said "not before": on no node does a call pass this bucket for so long, nor all at once then. Other
    /// nodes see it with their next question, and by news; what they have ahead is used up or dead within a tenth of a
    /// second. Known here even if it cannot be written down.
    pub async fn hold(&self, bucket: &Bucket, for_: Duration) {
        let for_ = for_.min(LONGEST_HOLD);
        let burst = {
            let (mut state, now) = (self.shared.state(), Boottime::now());
            state.pots.spill(bucket);
            if for_ <= state.book.held(bucket, now).unwrap_or_default() + HARDLY {
                return;
            }
            state.book.hold(bucket, now.plus(for_));
            state.book.limit(bucket).map(|limit| Terms::from(limit).burst().cast_signed())
        };
        let write = async {
            let mut db = self.shared.pool.write().await?;
            store::hold(&mut db, bucket.as_str(), for_, burst).await?;
            db.done().await
        };
        match write.await {
            Ok(()) => tracing::info!(bucket = %bucket, seconds = for_.as_secs_f64(), "a provider's bucket is held"),
            Err(error) => {
                tracing::warn!(error = %error, bucket = %bucket, "other nodes could not be told of a held bucket");
            }
        }
    }

    /// The version of what this node knows; another one in the database means that it must look.
    pub fn version(&self) -> i64 {
        self.shared.state().book.version()
    }

    /// Of the tokens that this node has ahead, and of the limits as it knows them: how often they were here, how often the
    /// database had to be asked, and how many there are.
    pub fn stats(&self) -> ((u64, u64, usize), (u64, u64, usize)) {
        let state = self.shared.state();
        let counts = &state.counts;
        ((counts.taken, counts.asked, state.pots.len()), (counts.looked_up, counts.read, state.book.len()))
    }

    /// Reads the limits that were set at run time, and what is held.
    pub async fn refresh(&self) -> sqlx::Result<()> {
        self.shared.refresh().await
    }
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn refresh(&self) -> sqlx::Result<()> {
        let mut db = self.pool.read().await?;
        let news = store::news(&mut db).await?;
        drop(db);
        let mut state = self.state();
        if news.version != state.book.version() {
            state.rooms.clear();
        }
        state.book.learn(news, Boottime::now());
        state.counts.read += 1;
        Ok(())
    }
}

impl State {
    pub fn new(configured: BTreeMap<String, RateLimit>) -> Self {
        Self {
            book: Book::new(configured),
            pots: Pots::default(),
            counts: Counts::default(),
            rooms: entry::Rooms::default(),
        }
    }

    fn need(&mut self, effect: EffectId, buckets: &[Bucket], now: Boottime) -> Need {
        let mut limited: Vec<(Bucket, Terms)> = Vec::new();
        for bucket in buckets {
            match (self.book.limit(bucket), self.book.held(bucket, now)) {
                (Some(limit), _) if limited.iter().all(|(known, _)| known != bucket) => {
                    limited.push((bucket.clone(), limit.into()));
                }
                // No limit, so no line to wait in: they come back one after another, by their ids.
                (None, Some(held)) => return Need::Wait(held + apart(effect, held)),
                _ => {}
            }
        }
        let is_held = |(bucket, _): &(Bucket, Terms)| self.book.held(bucket, now).is_some();
        let is_any_held = limited.iter().any(is_held);
        self.counts.looked_up += buckets.len() as u64;
        let (mut missing, mut taken) = (Vec::new(), Vec::new());
        for (bucket, terms) in limited {
            match self.pots.take(&bucket, 1, now).filter(|_| !is_any_held) {
                Some(until) => taken.push(Token { bucket, terms, until }),
                None => missing.push((bucket, terms)),
            }
        }
        self.counts.taken += taken.len() as u64;
        self.counts.asked += missing.len() as u64;
        if missing.is_empty() { Need::Nothing } else { Need::Ask { missing, taken } }
    }

    fn give_back(&mut self, tokens: &[Token]) {
        tokens.iter().for_each(|token| self.pots.give_back(&token.bucket, 1, token.until));
    }

    /// For how long any of them is held.
    fn held(&self, buckets: &[Bucket], now: Boottime) -> Duration {
        buckets.iter().filter_map(|bucket| self.book.held(bucket, now)).max().unwrap_or_default()
    }
}

/// Up to a tenth of the time, and at most 5 s.
fn apart(effect: EffectId, time: Duration) -> Duration {
    let [.., last] = effect.0.into_bytes();
    (time / 10).min(Duration::from_secs(5)) * u32::from(last) / 255
}

fn come_back(wait: Duration) -> Duration {
    if wait <= LONG { wait } else { LONG.max(wait / 2) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn state(limited: &[&str]) -> State {
        let limit = RateLimit { rate: "100/s".parse().expect("a rate"), burst: None };
        let configured = limited.iter().map(|name| ((*name).to_owned(), limit)).collect();
        State::new(configured)
    }

    fn effect(n: u128) -> EffectId {
        EffectId(Uuid::from_u128(n))
    }

    #[test]
    fn buckets_without_a_limit_need_nothing() {
        let mut state = state(&["provider/email"]);
        let buckets = [Bucket::provider("stripe"), Bucket::tenant("t", "stripe")];
        assert!(matches!(state.need(effect(1), &buckets, Boottime::now()), Need::Nothing));
    }

    #[test]
    fn only_what_is_not_here_is_asked_for_and_each_bucket_once() {
        let (mut state, now) = (state(&["provider/stripe", "tenant/*/provider/stripe"]), Boottime::now());
        let buckets = [Bucket::provider("stripe"), Bucket::tenant("t", "stripe"), Bucket::provider("stripe")];
        assert!(
            matches!(state.need(effect(1), &buckets, now), Need::Ask { missing, taken } if missing.len() == 2 && taken.is_empty())
        );
        state.pots.fill(&buckets[0], 1, now.plus(Duration::from_secs(1)));
        assert!(
            matches!(state.need(effect(1), &buckets, now), Need::Ask { missing, taken } if missing.len() == 1 && taken[0].bucket == buckets[0])
        );
        // Held: what is here does not count.
        state.pots.fill(&buckets[0], 1, now.plus(Duration::from_secs(1)));
        state.book.hold(&buckets[0], now.plus(Duration::from_secs(1)));
        assert!(matches!(state.need(effect(1), &buckets, now), Need::Ask { missing, .. } if missing.len() == 2));
    }

    #[test]
    fn a_held_bucket_without_a_limit_is_waited_for_without_a_question() {
        let (mut state, bucket, now) = (state(&[]), Bucket::provider("stripe"), Boottime::now());
        let held = Duration::from_secs(10);
        state.book.hold(&bucket, now.plus(held));
        for n in 0..300 {
            let need = state.need(effect(n), std::slice::from_ref(&bucket), now);
            assert!(matches!(need, Need::Wait(wait) if wait >= held && wait <= held + held / 10), "{n}");
        }
        assert!(matches!(state.need(effect(1), &[bucket], now.plus(held)), Need::Nothing));
    }

    #[test]
    fn a_long_wait_is_looked_at_halfway() {
        let seconds = Duration::from_secs;
        for (wait, comes) in [(1, 1), (60, 60), (61, 60), (120, 60), (1_000, 500)] {
            assert_eq!(come_back(seconds(wait)), seconds(comes));
        }
    }
}
