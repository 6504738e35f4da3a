use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    Bucket, Limiter,
    limiter::{Shared, State},
    store::{self, Entries},
    terms::Terms,
};
use crate::{clock::Boottime, config::RateLimit};

/// Most submits of one statement.
const BATCH: usize = 256;
/// What is known of more buckets than this is looked through for those that are full again.
const MANY: usize = 4_096;

/// What a submit is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Go,
    /// There is no room before that. It keeps no place in line.
    Later(Duration),
    /// It takes more at once than the bucket ever holds, which is this.
    Never(u32),
}

/// How a bucket stands, as far as this node knows: other nodes take from it, too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    pub limit: RateLimit,
    /// Tokens left, whole ones.
    pub left: u32,
    /// Until it is full.
    pub full_in: Duration,
}

/// What a submit needs beyond what this node has.
pub(super) struct Ask {
    needs: Vec<Need>,
    answer: oneshot::Sender<sqlx::Result<Verdict>>,
}

struct Need {
    bucket: Bucket,
    terms: Terms,
    count: u32,
}

#[derive(Clone, Copy)]
struct Verdict {
    goes: bool,
    wait: Duration,
}

/// Tokens that were left in a bucket when it was last asked for some.
#[derive(Clone, Copy, Debug)]
struct Room {
    tokens: f64,
    rate: f64,
    most: f64,
    at: Boottime,
}

impl Room {
    /// At most, since other nodes only take.
    fn now(&self, now: Boottime) -> f64 {
        (self.tokens + now.since(self.at).as_secs_f64() * self.rate).min(self.most)
    }
}

/// What the database last said of buckets. It spares a question wherever the answer can only be no.
#[derive(Debug, Default)]
pub(super) struct Rooms(HashMap<Bucket, Room>);

impl Rooms {
    fn put(&mut self, bucket: &Bucket, room: Room, now: Boottime) {
        if self.0.len() >= MANY && !self.0.contains_key(bucket) {
            self.0.retain(|_, room| room.now(now) < room.most);
        }
        self.0.insert(bucket.clone(), room);
    }

    /// For how long there surely is no room for so many.
    fn lacks(&self, bucket: &Bucket, terms: Terms, count: u32, now: Boottime) -> Option<Duration> {
        let lacking = f64::from(count) - self.0.get(bucket)?.now(now);
        // A millionth is rounding.
        (lacking > 1e-6).then(|| seconds(lacking / terms.rate))
    }

    /// Another limit may hold.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Without a question to the database, where that can be.
enum Local {
    Told(Entry),
    Ask { needs: Vec<Need>, taken: Vec<(Bucket, u32, Boottime)> },
}

impl Limiter {
    /// Whether any limit of submits is in force.
    pub fn limits_submits(&self) -> bool {
        self.shared.state().book.limits_submits()
    }

    /// Whether a submit passes that takes so many tokens from each of these buckets: from all of them, or it takes none.
    /// An error means that nobody knows.
    pub async fn enter(&self, draws: &[(Bucket, u32)]) -> sqlx::Result<Entry> {
        let local = self.shared.state().enter(draws, Boottime::now());
        let (needs, taken) = match local {
            Local::Told(entry) => return Ok(entry),
            Local::Ask { needs, taken } => (needs, taken),
        };
        let (answer, verdict) = oneshot::channel();
        // The task ends only with the host.
        let asked = self.entries.send(Ask { needs, answer }).await.map_err(|_| sqlx::Error::WorkerCrashed);
        let verdict = match asked {
            Ok(()) => verdict.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)),
            Err(error) => Err(error),
        };
        if !matches!(&verdict, Ok(verdict) if verdict.goes) {
            let mut state = self.shared.state();
            taken.iter().for_each(|(bucket, count, until)| state.pots.give_back(bucket, *count, *until));
        }
        let verdict = verdict?;
        Ok(if verdict.goes { Entry::Go } else { Entry::Later(verdict.wait) })
    }

    /// How these buckets stand; `None`: it has no limit.
    pub fn standing(&self, bucket: &Bucket) -> Option<Standing> {
        self.shared.state().standing(bucket, Boottime::now())
    }
}

impl State {
    fn enter(&mut self, draws: &[(Bucket, u32)], now: Boottime) -> Local {
        let limited = draws.iter().filter_map(|(bucket, count)| {
            let terms = Terms::from(self.book.limit(bucket)?);
            Some(Need { bucket: bucket.clone(), terms, count: *count })
        });
        let limited: Vec<_> = limited.collect();
        if let Some(need) = limited.iter().find(|need| need.count > need.terms.burst()) {
            return Local::Told(Entry::Never(need.terms.burst()));
        }
        let (mut needs, mut taken) = (Vec::new(), Vec::new());
        for need in limited {
            match self.pots.take(&need.bucket, need.count, now) {
                Some(until) => taken.push((need.bucket, need.count, until)),
                None => needs.push(need),
            }
        }
        let lacks = needs.iter().filter_map(|need| self.rooms.lacks(&need.bucket, need.terms, need.count, now)).max();
        if let Some(wait) = lacks {
            taken.iter().for_each(|(bucket, count, until)| self.pots.give_back(bucket, *count, *until));
            return Local::Told(Entry::Later(wait));
        }
        if needs.is_empty() { Local::Told(Entry::Go) } else { Local::Ask { needs, taken } }
    }

    fn standing(&self, bucket: &Bucket, now: Boottime) -> Option<Standing> {
        let limit = self.book.limit(bucket)?;
        let terms = Terms::from(limit);
        let most = f64::from(limit.burst());
        // What nobody has asked of is full.
        let room = self.rooms.0.get(bucket).map_or(f64::from(terms.burst()), |room| room.now(now));
        let left = (room + f64::from(self.pots.ahead(bucket, now))).clamp(0.0, most);
        // Whole and small: a burst is at most a million.
        Some(Standing { limit, left: (left + 1e-6).floor() as u32, full_in: seconds((most - left) / terms.rate) })
    }
}

/// Asks for all submits of this node. There is no timer: a statement is for those that came while the last one ran.
pub(super) async fn run(shared: Arc<Shared>, mut asks: mpsc::Receiver<Ask>) {
    let mut batch = Vec::with_capacity(BATCH);
    while asks.recv_many(&mut batch, BATCH).await > 0 {
        // Whoever went away needs no token.
        batch.retain(|ask| !ask.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        match ask(&shared, &batch).await {
            Ok((verdicts, version)) => {
                for (ask, verdict) in batch.drain(..).zip(verdicts) {
                    let _ = ask.answer.send(Ok(verdict));
                }
                if shared.state().book.version() < version
                    && let Err(error) = shared.refresh().await
                {
                    tracing::warn!(error = %error, "changed rate limits could not be read; they are with the next submit");
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, submits = batch.len(), "rate limits of submits could not be asked");
                // One of them gets the error itself, which can't be copied.
                let mut error = Some(error);
                for ask in batch.drain(..) {
                    let error = error.take().unwrap_or_else(|| sqlx::Error::Protocol("asked with others".to_owned()));
                    let _ = ask.answer.send(Err(error));
                }
            }
        }
    }
}

async fn ask(shared: &Shared, batch: &[Ask]) -> sqlx::Result<(Vec<Verdict>, i64)> {
    let (entries, terms) = entries(shared, batch);
    // Before it is asked: what is ahead dies early rather than late.
    let asked = Boottime::now();
    let mut db = shared.pool.write().await?;
    let entered = store::enter(&mut db, &entries).await?;
    db.done().await?;
    let mut state = shared.state();
    for ((bucket, terms), (tokens, room)) in terms.iter().zip(entered.tokens.iter().zip(&entered.rooms)) {
        if let Some(tokens) = u32::try_from(*tokens).ok().filter(|tokens| *tokens > 0) {
            state.pots.fill(bucket, tokens, asked.plus(terms.life()));
        }
        // As of a moment after the question: a room that is taken for older than it is would be taken for larger.
        let at = Boottime::now();
        let room = Room { tokens: *room, rate: terms.rate, most: f64::from(terms.burst()), at };
        state.rooms.put(bucket, room, at);
    }
    let verdict = |(goes, wait): (&bool, &f64)| Verdict { goes: *goes, wait: seconds(*wait) };
    Ok((entered.goes.iter().zip(&entered.waits).map(verdict).collect(), entered.version))
}

/// Each bucket once, in the order of its name, and each submit with the places of its buckets.
fn entries(shared: &Shared, batch: &[Ask]) -> (Entries, BTreeMap<Bucket, Terms>) {
    let needs = batch.iter().flat_map(|ask| &ask.needs);
    let terms: BTreeMap<_, _> = needs.map(|need| (need.bucket.clone(), need.terms)).collect();
    let places: HashMap<_, _> = terms.keys().zip(1..).collect();
    let mut entries = Entries { calls: i32::try_from(batch.len()).unwrap_or(i32::MAX), ..Entries::default() };
    let state = shared.state();
    for (bucket, terms) in &terms {
        entries.buckets.push(bucket.as_str().to_owned());
        entries.rates.push(terms.rate);
        entries.bursts.push(terms.burst().cast_signed());
        entries.wants.push(state.pots.wanted(bucket).min(terms.ahead()).cast_signed());
    }
    for (ask, n) in batch.iter().zip(1..) {
        for need in &ask.needs {
            if let Some(place) = places.get(&need.bucket) {
                entries.of_call.push(n);
                entries.of_bucket.push(*place);
                entries.counts.push(need.count.cast_signed());
            }
        }
    }
    drop(state);
    drop(places);
    (entries, terms)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(rate: &str, burst: u32) -> State {
        let limit = RateLimit { rate: rate.parse().expect("a rate"), burst: Some(burst) };
        let configured = BTreeMap::from([("submit/tenant/*".to_owned(), limit)]);
        State::new(configured)
    }

    fn told(local: &Local) -> Option<Entry> {
        match local {
            Local::Told(entry) => Some(*entry),
            Local::Ask { .. } => None,
        }
    }

    #[test]
    fn only_what_has_a_limit_is_asked_for() {
        let (mut state, now) = (state("1/s", 2), Boottime::now());
        let (tenant, caller) = (Bucket::submits_of("t"), Bucket::submits_by(Some("t"), "u"));
        assert_eq!(told(&state.enter(&[(caller.clone(), 5)], now)), Some(Entry::Go));
        assert!(matches!(state.enter(&[(caller, 1), (tenant, 1)], now), Local::Ask { needs, .. } if needs.len() == 1));
    }

    #[test]
    fn what_can_never_pass_is_told_so_and_what_surely_has_no_room_is_not_asked_for() {
        let (mut state, now, bucket) = (state("1/s", 2), Boottime::now(), Bucket::submits_of("t"));
        assert_eq!(told(&state.enter(&[(bucket.clone(), 3)], now)), Some(Entry::Never(2)));
        state.rooms.put(&bucket, Room { tokens: 0.5, rate: 1.0, most: 2.0, at: now }, now);
        let wait = |state: &mut State, count, after: u64| {
            told(&state.enter(&[(bucket.clone(), count)], now.plus(Duration::from_millis(after))))
        };
        assert_eq!(wait(&mut state, 1, 0), Some(Entry::Later(Duration::from_millis(500))));
        assert_eq!(wait(&mut state, 2, 500), Some(Entry::Later(Duration::from_secs(1))));
        assert_eq!(wait(&mut state, 1, 500), None, "somebody may have left room: it is asked");
        state.pots.fill(&bucket, 1, now.plus(Duration::from_secs(1)));
        assert_eq!(wait(&mut state, 1, 0), Some(Entry::Go), "there is one ahead");
    }

    #[test]
    fn a_bucket_stands_as_it_was_last_seen_and_fills_up() {
        let (mut state, now, bucket) = (state("1/s", 4), Boottime::now(), Bucket::submits_of("t"));
        let standing = state.standing(&bucket, now).expect("limited");
        assert_eq!((standing.left, standing.full_in), (4, Duration::ZERO));
        state.rooms.put(&bucket, Room { tokens: 1.0, rate: 1.0, most: 4.0, at: now }, now);
        let standing = state.standing(&bucket, now.plus(Duration::from_secs(1))).expect("limited");
        assert_eq!((standing.left, standing.full_in), (2, Duration::from_secs(2)));
        assert_eq!(state.standing(&Bucket::provider("email"), now), None);
    }
}
