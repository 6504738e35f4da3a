//! Whether a release does harm: how its last jobs ended, here and on the other nodes.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};

use super::{Registry, Release, registry::Serving};
use crate::{
    ids::{Digest, JobId},
    releases::{Whose, Window},
};

#[derive(Default)]
pub(super) struct Judge {
    windows: HashMap<Digest, Window>,
    /// Stopped here, until the rows say so too.
    tripped: HashMap<Digest, Tripped>,
}

struct Tripped {
    bad: u32,
    counted: u32,
    /// It was written down; this node's next look sees it.
    told: bool,
}

impl Judge {
    /// The releases that nobody runs. One that was activated again is judged anew.
    pub(super) fn bar(&mut self, quarantined: Vec<Digest>, generations: &HashMap<Digest, i64>) -> HashSet<Digest> {
        for (digest, generation) in generations {
            let window = self.windows.get(digest);
            if window.is_some_and(|window| window.generation != *generation) {
                self.windows.remove(digest);
                self.tripped.remove(digest);
            }
        }
        for digest in &quarantined {
            self.windows.remove(digest);
            self.tripped.remove(digest);
        }
        quarantined.into_iter().chain(self.tripped.keys().copied()).collect()
    }
}

/// The last two tenants for whom a release did well here. Two: one of them may be the one that is asked about. It is
/// kept from the start and costs no lock, so that a tenant that comes in a lull is not taken for the only one.
#[derive(Debug, Default)]
pub(super) struct Vouchers([AtomicU64; 2]);

impl Vouchers {
    fn add(&self, whose: Whose) {
        let [newest, other] = &self.0;
        let before = newest.load(Ordering::Relaxed);
        if before != whose {
            other.store(before, Ordering::Relaxed);
            newest.store(whose, Ordering::Relaxed);
        }
    }

    fn get(&self) -> Vec<Whose> {
        self.0.iter().map(|whose| whose.load(Ordering::Relaxed)).filter(|whose| *whose != NOBODY).collect()
    }
}

const NOBODY: Whose = 0;

/// The same on all nodes: `DefaultHasher::new()` has fixed keys.
fn whose(tenant: &str) -> Whose {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    hasher.finish().max(NOBODY + 1)
}

impl Registry {
    /// How a job of a release ended here. True: that release is stopped, so this attempt is not the job's fault.
    pub fn ended(&self, release: &Release, job: JobId, tenant: &str, trapped: bool) -> bool {
        let whose = whose(tenant);
        if !trapped {
            release.vouchers.add(whose);
            // Nearly always: nothing to count, and no lock.
            if !release.flawed.load(Ordering::Relaxed) {
                return false;
            }
        }
        let digest = release.digest;
        let settings = &self.config.plugins.quarantine;
        let serving = self.serving.load();
        let generation = serving.generations.get(&digest).copied().unwrap_or(0);
        let mut judge = self.lock_judge();
        let window = judge.windows.entry(digest).or_default().of(generation);
        window.add(job, whose, trapped, settings);
        window.vouchers = release.vouchers.get();
        let (bad, counted) = window.tally().counts(settings);
        release.flawed.store(window.is_flawed(), Ordering::Relaxed);
        if settings.trips(bad, counted) && !judge.tripped.contains_key(&digest) && !serving.barred.contains(&digest) {
            judge.tripped.insert(digest, Tripped { bad, counted, told: false });
            drop(judge);
            self.suspend_tripped();
            self.tripped.notify_one();
        }
        self.is_barred(digest)
    }

    /// What other nodes counted, as of their last beats: `[generation, tally]` by digest, one value a node.
    pub fn ended_elsewhere(&self, others: &[Value]) {
        let mut judge = self.lock_judge();
        let settings = &self.config.plugins.quarantine;
        let tripped: Vec<_> = judge
            .windows
            .iter()
            .filter_map(|(digest, window)| {
                let mut tally = window.tally();
                let key = digest.to_string();
                for other in others {
                    let Some([generation, told]) = other[&key].as_array().map(Vec::as_slice) else { continue };
                    if generation.as_i64() == Some(window.generation) && window.generation > 0 {
                        tally.hear(told);
                    }
                }
                let (bad, counted) = tally.counts(settings);
                settings.trips(bad, counted).then_some((*digest, Tripped { bad, counted, told: false }))
            })
            .filter(|(digest, _)| !judge.tripped.contains_key(digest) && !self.is_barred(*digest))
            .collect();
        if tripped.is_empty() {
            return;
        }
        judge.tripped.extend(tripped);
        drop(judge);
        self.suspend_tripped();
        self.tripped.notify_one();
    }

    /// What this node counted, for its next beat; of most releases there is nothing to tell.
    pub fn outcomes(&self) -> Value {
        let judge = self.lock_judge();
        let flawed = judge.windows.iter().filter(|(_, window)| window.is_flawed());
        let told =
            flawed.map(|(digest, window)| (digest.to_string(), json!([window.generation, window.tally().told()])));
        Value::Object(told.collect())
    }

    /// Releases that were stopped here, with what was counted (bad ones, of how many), until the rows say so too.
    pub fn stopped(&self) -> Vec<(Digest, u32, u32)> {
        let judge = self.lock_judge();
        let untold = judge.tripped.iter().filter(|(_, tripped)| !tripped.told);
        untold.map(|(digest, tripped)| (*digest, tripped.bad, tripped.counted)).collect()
    }

    /// The rows say so. It is stopped here until they are read again: who is reading them just now may not see it.
    pub fn is_told(&self, digest: Digest) {
        if let Some(tripped) = self.lock_judge().tripped.get_mut(&digest) {
            tripped.told = true;
        }
    }

    /// Nothing of a tripped release is claimed or begun here any more, whatever the rows say.
    pub(super) fn suspend_tripped(&self) {
        let tripped: Vec<_> = self.lock_judge().tripped.keys().copied().collect();
        let now = self.serving.load_full();
        if tripped.iter().all(|digest| now.barred.contains(digest) && now.by_type.values().all(|r| r.digest != *digest))
        {
            return;
        }
        self.serving.rcu(|now| {
            let (gone, by_type): (Vec<_>, Vec<_>) = now
                .by_type
                .iter()
                .map(|(job_type, release)| (job_type.clone(), Arc::clone(release)))
                .partition(|(_, release)| tripped.contains(&release.digest));
            let mut unserved = Vec::clone(&now.unserved);
            unserved.extend(gone.into_iter().map(|(job_type, _)| job_type));
            Serving {
                by_type: by_type.into_iter().collect(),
                unserved: Arc::new(unserved),
                barred: now.barred.iter().chain(&tripped).copied().collect(),
                generations: now.generations.clone(),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_tenants_vouch() {
        let vouchers = Vouchers::default();
        assert!(vouchers.get().is_empty());
        for tenant in ["a", "b", "b", "a"] {
            vouchers.add(whose(tenant));
        }
        assert_eq!(vouchers.get(), [whose("a"), whose("b")]);
        vouchers.add(whose("c"));
        assert_eq!(vouchers.get(), [whose("c"), whose("a")]);
    }
}
