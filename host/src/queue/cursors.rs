use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::lanes::{ALONE, HEAVY, LIGHT};

/// High first.
pub const PRIORITIES: [i16; 5] = [10, 7, 5, 3, 1];
const LANES: usize = HEAVY as usize + 1;
/// One claim in this many looks at the lowest priority first, so that none starves: a job at the head of its lane is
/// claimed within this many claims of its queue, whatever stands above it.
const AGING: u32 = 8;
/// A transaction that drew its place in the queue is taken to have committed by then. What comes later is found by the
/// scan from the front.
const LATE: Duration = Duration::from_secs(2);
/// After its last work a queue is looked over this long, once a second, for what committed late.
const ALERT: Duration = Duration::from_secs(10);

/// Where ready jobs are: one slot for each priority and lane of a queue, each with the place below which nothing is left,
/// so that a claim does not walk over the dead entries of all that was claimed before it.
#[derive(Debug, Default)]
pub struct Cursors {
    queues: Mutex<BTreeMap<String, Queue>>,
    /// Heads of the sequence, as read at that time.
    heads: Mutex<VecDeque<(Instant, i64)>>,
    /// How long the last claim from the front took.
    front: Mutex<Duration>,
    /// Queues in which a job waits to be run alone.
    alone: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
struct Queue {
    slots: Vec<Slot>,
    turn: u32,
    worked: Option<Instant>,
    /// The cursors as they were, a second apart.
    past: VecDeque<Vec<i64>>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    cursor: i64,
    /// There may be something.
    due: bool,
    /// News that came in while a claim was looking.
    low: Option<i64>,
}

/// A place that became claimable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    pub queue: String,
    pub priority: i16,
    pub lane: i16,
    pub ord: i64,
}

/// One slot that a claim looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub priority: i16,
    pub lane: i16,
    pub cursor: i64,
    /// At most this many.
    pub most: i32,
    slot: usize,
}

/// What a look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub jobs: i32,
    /// The last place taken.
    pub last: i64,
}

impl Cursors {
    /// Jobs became ready, here or by what another node says.
    pub fn mark(&self, ready: &Ready) {
        if ready.lane == ALONE {
            self.alone.lock().unwrap_or_else(PoisonError::into_inner).insert(ready.queue.clone());
            return;
        }
        let mut queues = self.lock();
        let queue = queue_of(&mut queues, &ready.queue);
        if let Some(slot) = index(ready.priority, ready.lane).and_then(|at| queue.slots.get_mut(at)) {
            slot.due = true;
            slot.low = Some(slot.low.map_or(ready.ord - 1, |low| low.min(ready.ord - 1)));
        }
    }

    /// There may be something anywhere in this queue.
    pub fn mark_all(&self, queue: &str) {
        queue_of(&mut self.lock(), queue).slots.iter_mut().for_each(|slot| slot.due = true);
    }

    /// Queues with something to look for.
    pub fn due(&self) -> Vec<String> {
        let queues = self.lock();
        queues
            .iter()
            .filter(|(_, queue)| queue.slots.iter().any(|slot| slot.due))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// A queue with a job that must be run alone; said once.
    pub fn alone(&self) -> Option<String> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }

    /// Nothing to look for in this queue until the next news: it is not ours.
    pub fn forget(&self, queue: &str) {
        self.lock().remove(queue);
    }

    /// The slots that a claim of `limit` jobs looks into, in this order. `share` says how many jobs a lane may take at
    /// most, and what it weighs against the other lanes of its priority.
    pub fn plan(&self, queue: &str, limit: u32, share: impl Fn(i16) -> (u32, u32)) -> Vec<Look> {
        let mut queues = self.lock();
        let queue = queue_of(&mut queues, queue);
        queue.turn = queue.turn.wrapping_add(1);
        let mut looks = Vec::new();
        let mut levels: Vec<usize> = (0..PRIORITIES.len()).collect();
        if queue.turn.is_multiple_of(AGING) {
            levels.reverse();
        }
        for level in levels {
            // The light lane first, then the heavy ones in turn.
            let heavy = (0..LANES - 1).map(|n| 1 + (n + queue.turn as usize) % (LANES - 1));
            let due: Vec<(usize, u32, u32)> = std::iter::once(0)
                .chain(heavy)
                .filter(|lane| queue.slots[level * LANES + lane].due)
                .map(|lane| {
                    let (most, weight) = share(i16::try_from(lane).unwrap_or(LIGHT));
                    (lane, most, weight.max(1))
                })
                .filter(|(_, most, _)| *most > 0)
                .collect();
            let weights: u32 = due.iter().map(|(_, _, weight)| weight).sum();
            for (lane, most, weight) in due {
                let slot = &mut queue.slots[level * LANES + lane];
                if let Some(low) = slot.low.take() {
                    slot.cursor = slot.cursor.min(low);
                }
                slot.due = false;
                let part = (u64::from(limit) * u64::from(weight)).div_ceil(u64::from(weights)).max(1);
                looks.push(Look {
                    priority: PRIORITIES[level],
                    lane: i16::try_from(lane).unwrap_or(LIGHT),
                    cursor: slot.cursor,
                    most: i32::try_from(part.min(u64::from(most))).unwrap_or(i32::MAX),
                    slot: level * LANES + lane,
                });
            }
        }
        looks
    }

    /// The looks for one job that must be run alone.
    pub fn plan_alone() -> [Look; PRIORITIES.len()] {
        PRIORITIES.map(|priority| Look { priority, lane: ALONE, cursor: 0, most: 1, slot: 0 })
    }

    /// What came of a claim of `limit` jobs: a slot that gave all it was asked for, or that was not reached, stays due.
    /// `None`: the claim failed.
    pub fn took(&self, queue: &str, limit: u32, looks: &[Look], found: Option<&[Found]>, time: Duration) {
        if looks.iter().any(|look| look.cursor == 0) {
            *self.front.lock().unwrap_or_else(PoisonError::into_inner) = time;
        }
        let safe = self.safe_head();
        let mut queues = self.lock();
        let queue = queue_of(&mut queues, queue);
        let Some(found) = found else {
            looks.iter().for_each(|look| queue.slots[look.slot].due = true);
            return;
        };
        let total: i64 = found.iter().map(|f| i64::from(f.jobs)).sum();
        if total > 0 {
            queue.worked = Some(Instant::now());
        }
        let last_reached = match total >= i64::from(limit) {
            true => found.iter().rposition(|f| f.jobs > 0),
            false => None,
        };
        for (n, (look, found)) in looks.iter().zip(found).enumerate() {
            let slot = &mut queue.slots[look.slot];
            if found.jobs > 0 {
                slot.cursor = found.last;
            }
            if last_reached.is_some_and(|last| n >= last) || found.jobs >= look.most {
                slot.due = true;
            } else if let Some(safe) = safe
                && total > 0
            {
                // Empty, so go past the dead entries too. Not where the whole claim found nothing: the queue may be paused.
                slot.cursor = slot.cursor.max(safe);
            }
        }
    }

    /// A claim found nothing but what this node leaves to others: it is passed by here too, lest every claim walk over all
    /// of it again. Where the queue was paused as well, that is made good when it goes on.
    pub fn pass(&self, queue: &str, looks: &[Look]) {
        let Some(safe) = self.safe_head() else { return };
        let mut queues = self.lock();
        let queue = queue_of(&mut queues, queue);
        for look in looks {
            let slot = &mut queue.slots[look.slot];
            slot.cursor = slot.cursor.max(safe);
        }
    }

    /// Where the look of an idle node begins: every slot of these queues, and the jobs that are run alone.
    pub fn all(&self, queues: &[String]) -> Vec<Ready> {
        let known = self.lock();
        let mut all = Vec::with_capacity(queues.len() * PRIORITIES.len() * (LANES + 1));
        for name in queues {
            for (n, priority) in PRIORITIES.into_iter().enumerate() {
                let mut place = |lane, ord| all.push(Ready { queue: name.clone(), priority, lane, ord });
                for lane in 0..LANES {
                    let slot = known.get(name).map(|queue| &queue.slots[n * LANES + lane]);
                    let ord = slot.map_or(0, |slot| slot.low.map_or(slot.cursor, |low| low.min(slot.cursor)));
                    place(i16::try_from(lane).unwrap_or(LIGHT), ord);
                }
                place(ALONE, 0);
            }
        }
        all
    }

    /// The sequence stands here now.
    pub fn note_head(&self, head: i64) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.push_back((Instant::now(), head));
        while heads.len() > 16 {
            heads.pop_front();
        }
    }

    /// A head read long enough ago.
    fn safe_head(&self) -> Option<i64> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().rev().find(|(at, _)| at.elapsed() >= LATE).map(|(_, head)| *head)
    }

    /// Once a second: queues with recent work are looked over again from where their cursors stood two seconds ago.
    /// Returns those queues.
    pub fn second_look(&self) -> Vec<String> {
        let mut queues = self.lock();
        let mut again = Vec::new();
        for (name, queue) in &mut *queues {
            if queue.worked.is_none_or(|at| at.elapsed() > ALERT) {
                queue.past.clear();
                continue;
            }
            queue.past.push_back(queue.slots.iter().map(|slot| slot.cursor).collect());
            if queue.past.len() as u64 > LATE.as_secs()
                && let Some(then) = queue.past.pop_front()
            {
                for (slot, cursor) in queue.slots.iter_mut().zip(then) {
                    slot.low = Some(slot.low.map_or(cursor, |low| low.min(cursor)));
                    slot.due = true;
                }
                again.push(name.clone());
            }
        }
        again
    }

    /// A look at everything, from the front. What is known of the sequence is forgotten too: after a failover it may stand
    /// further back.
    pub fn from_the_front(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut queues = self.lock();
        for queue in queues.values_mut() {
            queue.slots.iter_mut().for_each(|slot| {
                slot.low = Some(0);
                slot.due = true;
            });
        }
        queues.keys().cloned().collect()
    }

    /// How long the last claim from the front took.
    pub fn front_took(&self) -> Duration {
        *self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up where an earlier claimer stood.
    pub fn restore(&self, cursors: &[Ready]) {
        let mut queues = self.lock();
        for at in cursors {
            let queue = queue_of(&mut queues, &at.queue);
            if let Some(slot) = index(at.priority, at.lane).and_then(|at| queue.slots.get_mut(at)) {
                slot.cursor = slot.cursor.max(at.ord);
            }
        }
    }

    /// Of the queues that worked lately, for `restore`.
    pub fn moved(&self) -> Vec<Ready> {
        let names: BTreeSet<String> = {
            let queues = self.lock();
            let recent = queues.iter().filter(|(_, queue)| queue.worked.is_some_and(|at| at.elapsed() < ALERT));
            recent.map(|(name, _)| name.clone()).collect()
        };
        let names: Vec<_> = names.into_iter().collect();
        self.all(&names).into_iter().filter(|at| at.ord > 0).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(priority: i16, lane: i16) -> Option<usize> {
    let level = PRIORITIES.iter().position(|p| *p == priority)?;
    let lane = usize::try_from(lane).ok().filter(|lane| *lane < LANES)?;
    Some(level * LANES + lane)
}

fn queue_of<'a>(queues: &'a mut BTreeMap<String, Queue>, name: &str) -> &'a mut Queue {
    queues.entry(name.to_owned()).or_insert_with(|| Queue {
        slots: vec![Slot::default(); PRIORITIES.len() * LANES],
        turn: 0,
        worked: None,
        past: VecDeque::new(),
    })
}

#[cfg(test)]
mod tests;
