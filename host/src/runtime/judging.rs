//! Whether a release does harm: how its last jobs ended, here and on the other nodes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use serde_json::{Value, json};

use super::{Registry, Release, registry::Serving};
use crate::{
    ids::{Digest, JobId},
    releases::Window,
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

impl Registry {
    /// How a job of a release ended here. True: that release is stopped, so this attempt is not the job's fault.
    pub fn ended(&self, release: &Release, job: JobId, trapped: bool) -> bool {
        // Nearly always: nothing to count, and no lock.
        if !trapped && !release.flawed.load(Ordering::Relaxed) {
            return false;
        }
        let digest = release.digest;
        let settings = &self.config.plugins.quarantine;
        let serving = self.serving.load();
        let generation = serving.generations.get(&digest).copied().unwrap_or(0);
        let mut judge = self.lock_judge();
        let window = judge.windows.entry(digest).or_default().of(generation);
        window.add(job, trapped, settings);
        let (bad, counted) = window.counts();
        release.flawed.store(bad > 0, Ordering::Relaxed);
        if settings.trips(bad, counted) && !judge.tripped.contains_key(&digest) && !serving.barred.contains(&digest) {
            judge.tripped.insert(digest, Tripped { bad, counted, told: false });
            drop(judge);
            self.suspend_tripped();
            self.tripped.notify_one();
        }
        self.is_barred(digest)
    }

    /// What other nodes counted, as of their last beats: `[generation, bad, counted]` by digest, one value a node.
    pub fn ended_elsewhere(&self, others: &[Value]) {
        let mut judge = self.lock_judge();
        let settings = &self.config.plugins.quarantine;
        let tripped: Vec<_> = judge
            .windows
            .iter()
            .filter_map(|(digest, window)| {
                let (mut bad, mut counted) = window.counts();
                let key = digest.to_string();
                for other in others {
                    let Some([generation, b, c]) = other[&key].as_array().map(Vec::as_slice) else { continue };
                    if generation.as_i64() == Some(window.generation) && window.generation > 0 {
                        let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
                        bad += number(b);
                        counted += number(c);
                    }
                }
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
        let flawed = judge.windows.iter().filter(|(_, window)| window.counts().0 > 0);
        let told = flawed.map(|(digest, window)| {
            let (bad, counted) = window.counts();
            (digest.to_string(), json!([window.generation, bad, counted]))
        });
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
