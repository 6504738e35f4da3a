use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::Utc;
use tokio::sync::mpsc;

use super::{
    event::{Event, Mark, Position},
    hub::{Filter, FollowError, Who},
    live::Item,
};
use crate::{config::Events, ids::JobId};

/// Who follows here, and how far the reader came. Behind one lock: what a client was sent, and where it begins, are one
/// moment.
#[derive(Debug, Default)]
pub(super) struct Clients {
    next: u64,
    /// `None`: nobody follows, and nothing is read.
    pub place: Option<Place>,
    all: HashMap<u64, Client>,
    of_job: HashMap<JobId, Vec<u64>>,
    of_tenant: HashMap<String, Vec<u64>>,
    of_all: Vec<u64>,
    /// How often all waited for slow clients of a tenant, or of those without one, and since when that is counted.
    slow: HashMap<Option<String>, (Instant, u32)>,
}

/// All before it was handed out here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub era: i64,
    pub position: Position,
}

impl Place {
    pub fn at(&self, position: Position) -> Mark {
        Mark { era: self.era, at: Utc::now().timestamp(), position }
    }
}

#[derive(Debug)]
struct Client {
    filter: Filter,
    who: Who,
    /// It has seen what lies before, on another node perhaps that was ahead of this one.
    after: Position,
    frames: mpsc::Sender<Bytes>,
    /// How often others waited for it.
    pressed: u32,
}

/// Others wait for a client so many times.
const MOST_PRESSED: u32 = 10;
/// And for all of a tenant so many times in this while; then those that are full are cut off at once, so that nobody holds up the
/// others by coming again and again. The first time of a client that has just read everything is no fault of it and not counted.
const MOST_SLOW: u32 = 3 * MOST_PRESSED;
const WHILE: Duration = Duration::from_secs(60);

/// What became of some events.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// So many of them are out.
    pub done: usize,
    /// Somebody has no room for the next one yet.
    pub is_pressed: bool,
    /// So many clients were cut off.
    pub cut: usize,
}

impl Clients {
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A new client, that is sent what comes after `after`.
    pub fn add(
        &mut self,
        settings: &Events,
        filter: Filter,
        who: Who,
        after: Position,
    ) -> Result<(u64, mpsc::Receiver<Bytes>), FollowError> {
        if self.all.len() >= settings.streams {
            return Err(FollowError::Full);
        }
        if self.all.values().filter(|client| client.who == who).count() >= settings.per_caller {
            return Err(FollowError::TooMany { most: settings.per_caller, of: "caller" });
        }
        let is_of_tenant = |client: &&Client| who.tenant.is_some() && client.who.tenant == who.tenant;
        if self.all.values().filter(is_of_tenant).count() >= settings.per_tenant {
            return Err(FollowError::TooMany { most: settings.per_tenant, of: "tenant" });
        }
        let (frames, receiver) = mpsc::channel(settings.buffer);
        self.next += 1;
        let id = self.next;
        self.followers_of(&filter).push(id);
        self.all.insert(id, Client { filter, who, after, frames, pressed: 0 });
        Ok((id, receiver))
    }

    /// The narrowest list that a client belongs to.
    fn followers_of(&mut self, filter: &Filter) -> &mut Vec<u64> {
        match (filter.job, &filter.tenant) {
            (Some(job), _) => self.of_job.entry(job).or_default(),
            (None, Some(tenant)) => self.of_tenant.entry(tenant.clone()).or_default(),
            (None, None) => &mut self.of_all,
        }
    }

    /// Its stream ends once it has read what was sent.
    pub fn remove(&mut self, id: u64) {
        let Some(client) = self.all.remove(&id) else { return };
        let followers = self.followers_of(&client.filter);
        followers.retain(|other| *other != id);
        if followers.is_empty() {
            match (client.filter.job, &client.filter.tenant) {
                (Some(job), _) => drop(self.of_job.remove(&job)),
                (None, Some(tenant)) => drop(self.of_tenant.remove(tenant)),
                (None, None) => {}
            }
        }
    }

    /// All streams end.
    pub fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    /// Hands events out, as many as all who want them have room for. Whoever had none for too long is cut off, and goes on
    /// from the last that it read: what is waited for, all wait for.
    pub fn hand_out(&mut self, events: &[(Position, Event)]) -> Handed {
        let mut handed = Handed::default();
        for (position, event) in events {
            let Some(place) = self.place else { return handed };
            let wanting = self.wanting(*position, event);
            let full: Vec<_> = wanting.iter().copied().filter(|id| self.is_full(*id)).collect();
            let mut slow = BTreeSet::new();
            for id in full {
                if self.presses_too_long(id, &mut slow) {
                    handed.cut += 1;
                    self.remove(id);
                } else {
                    handed.is_pressed = true;
                }
            }
            self.note_slow(slow);
            if handed.is_pressed {
                return handed;
            }
            if !wanting.is_empty() {
                let frame = event.frame(&place.at(*position));
                for client in wanting.iter().filter_map(|id| self.all.get(id)) {
                    // There is room: nobody else sends while this lock is held. An error is a stream that has just ended.
                    let _ = client.frames.try_send(frame.clone());
                }
            }
            self.place = Some(Place { position: *position, ..place });
            handed.done += 1;
        }
        handed
    }

    /// All before it was handed out.
    pub fn pass(&mut self, position: Position) {
        self.place = self.place.map(|place| Place { position: place.position.max(position), ..place });
    }

    fn wanting(&self, position: Position, event: &Event) -> Vec<u64> {
        let wants = |id: &u64| {
            self.all.get(id).is_some_and(|client| {
                position > client.after
                    && client.filter.takes(&event.tenant, &event.job_type)
                    && client.filter.state.as_ref().is_none_or(|state| *state == event.state)
            })
        };
        self.followers(event.job, &event.tenant).into_iter().filter(wants).collect()
    }

    fn is_full(&self, id: u64) -> bool {
        self.all.get(&id).is_some_and(|client| client.frames.capacity() == 0)
    }

    /// Counts how often all had to wait for it since it last had read everything. `slow`: whose it is, where that is a fault.
    fn presses_too_long(&mut self, id: u64, slow: &mut BTreeSet<Option<String>>) -> bool {
        let Some(client) = self.all.get_mut(&id) else { return false };
        client.pressed += 1;
        let tenant = &client.who.tenant;
        let was_slow = |(since, times): &(Instant, u32)| since.elapsed() < WHILE && *times >= MOST_SLOW;
        if client.pressed > MOST_PRESSED || self.slow.get(tenant).is_some_and(was_slow) {
            return true;
        }
        if client.pressed > 1 {
            slow.insert(tenant.clone());
        }
        false
    }

    /// All wait once more, for clients of these tenants: however many they are, it is one wait.
    fn note_slow(&mut self, tenants: BTreeSet<Option<String>>) {
        if tenants.is_empty() {
            return;
        }
        self.slow.retain(|_, (since, _)| since.elapsed() < WHILE);
        for tenant in tenants {
            self.slow.entry(tenant).or_insert_with(|| (Instant::now(), 0)).1 += 1;
        }
    }

    /// Those that have read all begin anew with the patience that others have with them.
    pub fn relax(&mut self) {
        let rested = self.all.values_mut().filter(|client| client.frames.capacity() == client.frames.max_capacity());
        rested.for_each(|client| client.pressed = 0);
    }

    /// Best effort: who has no room misses it.
    pub fn tell(&self, item: &Item) {
        let mut frame = None;
        for id in self.followers(item.job, &item.tenant) {
            let Some(client) = self.all.get(&id) else { continue };
            if client.filter.takes(&item.tenant, &item.job_type) && client.filter.takes_item(item) {
                let frame: &Bytes = frame.get_or_insert_with(|| item.frame());
                // Half of the room is for what counts.
                if client.frames.capacity() * 2 > client.frames.max_capacity() {
                    let _ = client.frames.try_send(frame.clone());
                }
            }
        }
    }

    /// Whether anybody here may want to hear of this job.
    pub fn follows(&self, job: JobId, tenant: &str) -> bool {
        !self.of_all.is_empty() || self.of_job.contains_key(&job) || self.of_tenant.contains_key(tenant)
    }

    /// What is followed here.
    pub fn followed(&self) -> impl Iterator<Item = Filter> {
        let jobs = self.of_job.keys().map(|job| Filter { job: Some(*job), ..Filter::default() });
        let tenants = self.of_tenant.keys().map(|tenant| Filter { tenant: Some(tenant.clone()), ..Filter::default() });
        let all = (!self.of_all.is_empty()).then(Filter::default);
        jobs.chain(tenants).chain(all)
    }

    fn followers(&self, job: JobId, tenant: &str) -> Vec<u64> {
        let of_job = self.of_job.get(&job).map(Vec::as_slice).unwrap_or_default();
        let of_tenant = self.of_tenant.get(tenant).map(Vec::as_slice).unwrap_or_default();
        [of_job, of_tenant, &self.of_all].concat()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::outbox::store::Batch;

    fn who(subject: &str) -> Who {
        Who { tenant: Some("t1".to_owned()), subject: subject.to_owned() }
    }

    fn of_tenant(tenant: &str) -> Filter {
        Filter { tenant: Some(tenant.to_owned()), ..Filter::default() }
    }

    fn batch(xid: i64, tenants: &[&str], job: JobId) -> Batch {
        Batch {
            xid,
            seq: xid,
            at: chrono::DateTime::default(),
            tenants: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(),
            jobs: tenants.iter().map(|_| job.0).collect(),
            job_types: tenants.iter().map(|_| "a".to_owned()).collect(),
            events: tenants.iter().map(|_| "job.completed".to_owned()).collect(),
            reasons: Vec::new(),
        }
    }

    fn clients() -> (Clients, Events) {
        let place = Place { era: 1, position: Position::before(1) };
        (Clients { place: Some(place), ..Clients::default() }, Events { buffer: 2, ..Events::default() })
    }

    /// As the reader does it, without its pauses. How many were cut off.
    fn give(clients: &mut Clients, batches: &[Batch]) -> usize {
        give_and_wait(clients, batches).0
    }

    /// And how many pauses there would have been.
    fn give_and_wait(clients: &mut Clients, batches: &[Batch]) -> (usize, usize) {
        let events: Vec<_> = batches.iter().flat_map(Batch::events).collect();
        let (mut done, mut cut, mut pauses) = (0, 0, 0);
        while done < events.len() {
            let handed = clients.hand_out(&events[done..]);
            (done, cut, pauses) = (done + handed.done, cut + handed.cut, pauses + usize::from(handed.is_pressed));
        }
        (cut, pauses)
    }

    fn received(receiver: &mut mpsc::Receiver<Bytes>) -> usize {
        std::iter::from_fn(|| receiver.try_recv().ok()).count()
    }

    #[test]
    fn each_is_sent_what_it_follows_and_nothing_of_another_tenant() {
        let (mut clients, settings) = clients();
        let job = JobId(Uuid::from_u128(7));
        let mut add = |filter| clients.add(&settings, filter, who("u"), Position::before(1)).expect("room").1;
        let mut mine = add(of_tenant("t1"));
        let mut others = add(of_tenant("t2"));
        let mut all = add(Filter::default());
        let mut dead = add(Filter { state: Some("dead".to_owned()), ..of_tenant("t1") });
        let mut one = add(Filter { job: Some(job), ..of_tenant("t1") });
        let mut stolen = add(Filter { job: Some(job), ..of_tenant("t2") });
        assert_eq!(give(&mut clients, &[batch(5, &["t1"], job)]), 0);
        let got = [&mut mine, &mut others, &mut all, &mut dead, &mut one, &mut stolen].map(received);
        assert_eq!(got, [1, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn what_a_client_saw_elsewhere_it_is_not_sent_again() {
        let (mut clients, settings) = clients();
        let after = Position { xid: 5, seq: 5, n: 1 };
        let (_, mut receiver) = clients.add(&settings, of_tenant("t1"), who("u"), after).expect("room");
        give(&mut clients, &[batch(4, &["t1"], JobId::new()), batch(5, &["t1", "t1"], JobId::new())]);
        assert_eq!(received(&mut receiver), 1, "the second of its batch");
    }

    #[test]
    fn who_does_not_read_is_cut_off_and_its_place_is_free() {
        let (mut clients, settings) = clients();
        let settings = Events { per_caller: 1, ..settings };
        let begin = Position::before(1);
        let (_, mut receiver) = clients.add(&settings, of_tenant("t1"), who("u"), begin).expect("room");
        assert!(matches!(
            clients.add(&settings, of_tenant("t1"), who("u"), begin),
            Err(FollowError::TooMany { of: "caller", .. })
        ));
        let batches: Vec<_> = (2..9).map(|xid| batch(xid, &["t1"], JobId::new())).collect();
        assert_eq!(give(&mut clients, &batches), 1);
        assert_eq!(received(&mut receiver), 2);
        assert!(receiver.is_closed() && clients.is_empty() && clients.of_tenant.is_empty());
        clients.add(&settings, of_tenant("t1"), who("u"), begin).expect("room");
    }

    #[test]
    fn who_comes_again_and_again_and_does_not_read_holds_nobody_up_any_more() {
        let (mut clients, settings) = clients();
        let mut xid = 1;
        let mut waited_for = |tenant: &str| {
            let who = Who { tenant: Some(tenant.to_owned()), subject: "u".to_owned() };
            let (_, _unread) = clients.add(&settings, of_tenant(tenant), who, Position::before(1)).expect("room");
            let batches: Vec<_> = (0..3)
                .map(|_| {
                    xid += 1;
                    batch(xid, &[tenant], JobId::new())
                })
                .collect();
            let (cut, pauses) = give_and_wait(&mut clients, &batches);
            assert_eq!(cut, 1);
            pauses
        };
        let pauses: Vec<_> = (0..6).map(|_| waited_for("t1")).collect();
        assert_eq!(pauses[..3], [10, 10, 10]);
        assert!(pauses[3] < 10 && pauses[4..] == [0, 0], "{pauses:?}");
        assert_eq!(waited_for("t2"), 10, "another tenant's is no worse for it");
    }
}
