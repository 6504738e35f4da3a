use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::{
    Counter, CounterVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use super::{Collector, SECONDS, SIZES, SOUND, WAITS, commit_sizes, counter, counters, histograms, table::Table};

/// How an attempt ended, as its node saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    Completed,
    /// It burned an attempt and comes again.
    Retried,
    /// It comes again and burned nothing.
    Snoozed,
    Dead,
    Cancelled,
    /// One of its effects is in doubt, and a person must decide.
    Parked,
    /// Given back untouched.
    Returned,
    /// The job was not this node's any more.
    Lost,
}

impl AttemptEnd {
    const NAMES: [&str; 8] = ["completed", "retried", "snoozed", "dead", "cancelled", "parked", "returned", "lost"];
}

/// How jobs end, as `jobs_archive.state` says it.
const ENDS: [&str; 3] = ["completed", "cancelled", "dead"];

/// The life of jobs on this node, and what their guests use.
#[derive(Debug)]
pub struct Jobs {
    claim_sizes: HistogramVec,
    claim_seconds: HistogramVec,
    waits: HistogramVec,
    finished: IntCounterVec,
    attempts: IntCounterVec,
    attempt_seconds: HistogramVec,
    cpu: CounterVec,
    memory: IntGaugeVec,
    lost: IntCounter,
    settles: Histogram,
    queues: Table<OfQueue>,
    types: Table<OfType>,
    plugins: Table<OfPlugin>,
}

/// The numbers of one queue.
#[derive(Debug)]
pub struct OfQueue {
    claim_size: Histogram,
    claim_seconds: Histogram,
    wait: Histogram,
    finished: [IntCounter; ENDS.len()],
}

/// The numbers of one job type.
#[derive(Debug)]
pub struct OfType {
    ends: [IntCounter; AttemptEnd::NAMES.len()],
    seconds: Histogram,
}

#[derive(Debug)]
struct OfPlugin {
    cpu: Counter,
    highest: AtomicU64,
    memory: IntGauge,
}

impl Default for Jobs {
    fn default() -> Self {
        let cpu = Opts::new("usher_guest_cpu_seconds_total", "CPU time that guests have used, by plugin.");
        let memory = "The most linear memory that one attempt has had since this host started, by plugin.";
        Self {
            claim_sizes: histograms("usher_claim_batch_jobs", "Jobs that one claim took.", &["queue"], &SIZES),
            claim_seconds: histograms("usher_claim_duration_seconds", "How long claims took.", &["queue"], &SECONDS),
            waits: histograms(
                "usher_queue_wait_seconds",
                "How long jobs were ready, or due, before they were claimed.",
                &["queue"],
                &WAITS,
            ),
            finished: counters(
                "usher_jobs_finished_total",
                "Jobs that ended in a settlement of this host, as committed.",
                &["queue", "state"],
            ),
            attempts: counters("usher_attempts_total", "Attempts by how they ended.", &["type", "outcome"]),
            attempt_seconds: histograms(
                "usher_attempt_duration_seconds",
                "How long a guest took, with its wait for room and for its providers.",
                &["type"],
                &SECONDS,
            ),
            cpu: CounterVec::new(cpu, &["plugin"]).expect(SOUND),
            memory: IntGaugeVec::new(Opts::new("usher_guest_memory_peak_bytes", memory), &["plugin"]).expect(SOUND),
            lost: counter(
                "usher_settlements_lost_total",
                "Results that were dropped because the job's lease was not this host's any more.",
            ),
            settles: commit_sizes("settle"),
            queues: Table::default(),
            types: Table::default(),
            plugins: Table::default(),
        }
    }
}

impl Jobs {
    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.claim_sizes.clone()),
            Box::new(self.claim_seconds.clone()),
            Box::new(self.waits.clone()),
            Box::new(self.finished.clone()),
            Box::new(self.attempts.clone()),
            Box::new(self.attempt_seconds.clone()),
            Box::new(self.cpu.clone()),
            Box::new(self.memory.clone()),
            Box::new(self.lost.clone()),
            Box::new(self.settles.clone()),
        ]
    }

    pub fn of_queue(&self, queue: &str) -> Arc<OfQueue> {
        self.queues.get(queue, |queue| OfQueue {
            claim_size: self.claim_sizes.with_label_values(&[queue]),
            claim_seconds: self.claim_seconds.with_label_values(&[queue]),
            wait: self.waits.with_label_values(&[queue]),
            finished: ENDS.map(|end| self.finished.with_label_values(&[queue, end])),
        })
    }

    pub fn of_type(&self, job_type: &str) -> Arc<OfType> {
        self.types.get(job_type, |job_type| OfType {
            ends: AttemptEnd::NAMES.map(|end| self.attempts.with_label_values(&[job_type, end])),
            seconds: self.attempt_seconds.with_label_values(&[job_type]),
        })
    }

    /// What one attempt of a plugin used; `memory` in bytes.
    pub fn used(&self, plugin: &str, cpu: Duration, memory: u64) {
        let plugin = self.plugins.get(plugin, |plugin| OfPlugin {
            cpu: self.cpu.with_label_values(&[plugin]),
            highest: AtomicU64::new(0),
            memory: self.memory.with_label_values(&[plugin]),
        });
        plugin.cpu.inc_by(cpu.as_secs_f64());
        plugin.highest.fetch_max(memory, Ordering::Relaxed);
    }

    /// A batch of settlements is committed.
    pub fn settled(&self, jobs: usize, lost: usize) {
        self.settles.observe(jobs as f64);
        self.lost.inc_by(lost as u64);
    }

    /// What is not counted as it happens.
    pub(super) fn read(&self) {
        self.plugins.for_each(|plugin| {
            plugin.memory.set(i64::try_from(plugin.highest.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        });
    }
}

impl OfQueue {
    pub fn claimed(&self, jobs: usize, took: Duration) {
        self.claim_size.observe(jobs as f64);
        self.claim_seconds.observe(took.as_secs_f64());
    }

    pub fn waited(&self, wait: Duration) {
        self.wait.observe(wait.as_secs_f64());
    }

    /// `state` as the archive says it.
    pub fn finished(&self, state: &str, jobs: u64) {
        if let Some((_, finished)) = ENDS.iter().zip(&self.finished).find(|(end, _)| **end == state) {
            finished.inc_by(jobs);
        }
    }
}

impl OfType {
    pub fn ended(&self, end: AttemptEnd) {
        self.ends[end as usize].inc();
    }

    /// A guest ran.
    pub fn ran(&self, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
    }
}
