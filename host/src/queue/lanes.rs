use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Lane of tenants with few live jobs.
pub const LIGHT: i16 = 0;
/// Lanes of the others: 1 to this.
pub const HEAVY: i16 = 16;
/// Lane of jobs that took nodes down with them: they run alone.
pub const ALONE: i16 = 99;

/// A tenant with this many live jobs in a queue is not light any more.
const FEW: u32 = 16;
/// Claims of other nodes are not seen here, so what a node believes fades by half in this time.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// Which lane a tenant's next job goes to. An estimate of this node, from what it enqueued and claimed: it decides about
/// fairness only, never about which jobs run.
///
/// A tenant's first few jobs go to the light lane, the others to a heavy lane that it keeps until its backlog is gone,
/// so that its own jobs stay in order. Of the heavy lanes it gets the one with the least in it.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    weights: Arc<HashMap<String, u32>>,
    inner: Arc<Mutex<HashMap<String, Queue>>>,
}

#[derive(Debug, Default)]
struct Queue {
    tenants: HashMap<String, Tenant>,
}

#[derive(Debug)]
struct Tenant {
    live: u32,
    lane: i16,
    at: Instant,
}

impl Lanes {
    pub fn new(weights: HashMap<String, u32>) -> Self {
        Self { weights: Arc::new(weights), inner: Arc::default() }
    }

    /// The lane of one more job.
    pub fn assign(&self, queue: &str, tenant: &str) -> i16 {
        let mut queues = self.lock();
        let queue = queues.entry(queue.to_owned()).or_default();
        let now = Instant::now();
        let known = match queue.tenants.get_mut(tenant) {
            Some(known) => known,
            None => {
                queue.forget_the_old(now);
                queue.tenants.entry(tenant.to_owned()).or_insert(Tenant { live: 0, lane: LIGHT, at: now })
            }
        };
        known.fade(now);
        known.live = known.live.saturating_add(1);
        if known.live <= FEW || known.lane != LIGHT {
            return known.lane;
        }
        let lane = queue.emptiest(tenant);
        if let Some(known) = queue.tenants.get_mut(tenant) {
            known.lane = lane;
        }
        lane
    }

    /// Jobs of these tenants were claimed here.
    pub fn claimed<'a>(&self, queue: &str, tenants: impl Iterator<Item = &'a str>) {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(queue) else { return };
        for tenant in tenants {
            if let Some(known) = queue.tenants.get_mut(tenant) {
                known.live = known.live.saturating_sub(1);
                if known.live == 0 {
                    queue.tenants.remove(tenant);
                }
            }
        }
    }

    /// The weight of a lane: the largest of the tenants that this node knows in it.
    pub fn weight(&self, queue: &str, lane: i16) -> u32 {
        if self.weights.is_empty() || lane == LIGHT {
            return 1;
        }
        self.tenants(queue, lane).iter().filter_map(|tenant| self.weights.get(tenant)).copied().max().unwrap_or(1)
    }

    /// The tenants that this node knows in a heavy lane.
    pub fn tenants(&self, queue: &str, lane: i16) -> Vec<String> {
        let queues = self.lock();
        let Some(queue) = queues.get(queue) else { return Vec::new() };
        queue.tenants.iter().filter(|(_, known)| known.lane == lane).map(|(tenant, _)| tenant.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Ties go by a hash of the name, so that nodes that know nothing of each other tend to agree.
    fn emptiest(&self, tenant: &str) -> i16 {
        let mut load = [0_u64; HEAVY as usize + 1];
        for known in self.tenants.values() {
            load[known.lane as usize] += u64::from(known.live);
        }
        let first = tenant.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte as usize));
        let lanes = (0..HEAVY as usize).map(|n| 1 + (first + n) % HEAVY as usize);
        lanes.min_by_key(|lane| load[*lane]).and_then(|lane| i16::try_from(lane).ok()).unwrap_or(HEAVY)
    }

    /// Once in a while, so that tenants that went away do not pile up.
    fn forget_the_old(&mut self, now: Instant) {
        if self.tenants.len().is_multiple_of(1024) {
            self.tenants.retain(|_, known| now.duration_since(known.at) < 8 * HALF_LIFE);
        }
    }
}

impl Tenant {
    fn fade(&mut self, now: Instant) {
        let halves = now.duration_since(self.at).as_secs() / HALF_LIFE.as_secs();
        if halves > 0 {
            self.live = self.live.checked_shr(u32::try_from(halves).unwrap_or(u32::MAX)).unwrap_or(0);
            self.at = now;
            if self.live == 0 {
                self.lane = LIGHT;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lane of a tenant's fiftieth job.
    fn fill(lanes: &Lanes, tenant: &str) -> i16 {
        (0..50).fold(LIGHT, |_, _| lanes.assign("q", tenant))
    }

    #[test]
    fn a_tenants_first_jobs_are_light_and_the_others_keep_one_lane() {
        let lanes = Lanes::default();
        let assigned: Vec<_> = (0..100).map(|_| lanes.assign("q", "a")).collect();
        assert!(assigned[..FEW as usize].iter().all(|lane| *lane == LIGHT));
        let heavy = assigned[FEW as usize];
        assert!((1..=HEAVY).contains(&heavy));
        assert!(assigned[FEW as usize..].iter().all(|lane| *lane == heavy));
        // Until its backlog is gone: going back sooner would let new jobs overtake old ones.
        lanes.claimed("q", std::iter::repeat_n("a", 95));
        assert_eq!(lanes.assign("q", "a"), heavy);
        lanes.claimed("q", std::iter::repeat_n("a", 6));
        assert_eq!(lanes.assign("q", "a"), LIGHT);
    }

    #[test]
    fn heavy_tenants_do_not_share_a_lane_while_one_is_free() {
        let lanes = Lanes::default();
        let heavy: std::collections::BTreeSet<_> = (0..HEAVY).map(|n| fill(&lanes, &format!("tenant {n}"))).collect();
        assert_eq!(heavy.len(), HEAVY as usize);
        assert_eq!(lanes.assign("q", "small"), LIGHT);
        assert_eq!(lanes.assign("other queue", "tenant 0"), LIGHT);
    }

    #[test]
    fn a_lane_weighs_what_its_tenant_weighs() {
        let lanes = Lanes::new(HashMap::from([("a".to_owned(), 3)]));
        let lane = fill(&lanes, "a");
        assert_eq!((lanes.weight("q", lane), lanes.weight("q", LIGHT)), (3, 1));
    }
}
