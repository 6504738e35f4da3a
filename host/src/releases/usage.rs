use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// What attempts used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub attempts: u64,
    pub failed: u64,
    pub cpu_us: u64,
    /// Bytes, of the one that used most.
    pub memory_peak: u64,
    pub effects: u64,
    pub log_bytes: u64,
}

impl Usage {
    /// One attempt.
    pub fn attempt(failed: bool, cpu: Duration, memory_peak: u64, effects: u32, log_bytes: u64) -> Self {
        let cpu_us = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
        Self { attempts: 1, failed: u64::from(failed), cpu_us, memory_peak, effects: effects.into(), log_bytes }
    }

    fn add(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.failed += other.failed;
        self.cpu_us += other.cpu_us;
        self.memory_peak = self.memory_peak.max(other.memory_peak);
        self.effects += other.effects;
        self.log_bytes += other.log_bytes;
    }
}

/// By plugin and tenant.
pub type Metered = BTreeMap<(String, String), Usage>;

/// Adds up on this node what attempts used, until somebody writes it down.
#[derive(Debug, Default)]
pub struct Meter(Mutex<HashMap<String, HashMap<String, Usage>>>);

impl Meter {
    pub fn add(&self, plugin: &str, tenant: &str, used: Usage) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(plugin).and_then(|tenants| tenants.get_mut(tenant)) {
            Some(sum) => sum.add(used),
            None => drop(all.entry(plugin.to_owned()).or_default().insert(tenant.to_owned(), used)),
        }
    }

    /// All since the last call.
    pub fn take(&self) -> Metered {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let tenants = |(plugin, tenants): (String, HashMap<String, Usage>)| {
            tenants.into_iter().map(move |(tenant, used)| ((plugin.clone(), tenant), used))
        };
        all.into_iter().flat_map(tenants).collect()
    }

    /// It could not be written down.
    pub fn give_back(&self, metered: Metered) {
        metered.into_iter().for_each(|((plugin, tenant), used)| self.add(&plugin, &tenant, used));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_adds_up_but_the_peak_is_the_highest() {
        let meter = Meter::default();
        meter.add("p", "t", Usage::attempt(false, Duration::from_micros(5), 100, 1, 10));
        meter.add("p", "t", Usage::attempt(true, Duration::from_micros(7), 50, 2, 0));
        meter.add("p", "u", Usage::attempt(false, Duration::ZERO, 1, 0, 0));
        let taken = meter.take();
        let sum = Usage { attempts: 2, failed: 1, cpu_us: 12, memory_peak: 100, effects: 3, log_bytes: 10 };
        assert_eq!((taken.len(), taken[&("p".to_owned(), "t".to_owned())]), (2, sum));
        assert!(meter.take().is_empty());
        meter.give_back(taken.clone());
        assert_eq!(meter.take(), taken);
    }
}
