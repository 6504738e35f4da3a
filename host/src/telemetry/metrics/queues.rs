use std::time::Duration;

use prometheus::{GaugeVec, IntGauge};

use super::{Collector, gauge, gauges};

/// What the database says of the queues: looked at for a scrape, and shared by those of the next seconds.
#[derive(Debug)]
pub struct Queues {
    jobs: GaugeVec,
    oldest: GaugeVec,
    up: IntGauge,
}

/// Of one queue and state.
#[derive(Clone, Debug)]
pub struct Depth {
    pub queue: String,
    pub state: String,
    pub jobs: i64,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            jobs: gauges(
                "usher_queue_jobs",
                "Live jobs by state, sampled once a minute in the whole cluster.",
                &["queue", "state"],
            ),
            oldest: gauges(
                "usher_queue_oldest_ready_age_seconds",
                "How long the oldest job that could be claimed has been ready; 0 where none waits.",
                &["queue"],
            ),
            up: gauge("usher_database_up", "Whether the database answered this scrape."),
        }
    }
}

impl Queues {
    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.jobs.clone()), Box::new(self.oldest.clone()), Box::new(self.up.clone())]
    }

    /// The database answered. The same queues and states each time, so that a scrape beside this one misses none.
    pub fn depths(&self, depths: &[Depth]) {
        for depth in depths {
            self.jobs.with_label_values(&[&depth.queue, &depth.state]).set(depth.jobs as f64);
        }
        self.up.set(1);
    }

    pub fn ages<'a>(&self, oldest: impl Iterator<Item = (&'a str, Duration)>) {
        for (queue, age) in oldest {
            self.oldest.with_label_values(&[queue]).set(age.as_secs_f64());
        }
    }

    /// Old numbers would look like new ones.
    pub fn no_ages(&self) {
        self.oldest.reset();
    }

    /// The database did not answer.
    pub fn unseen(&self) {
        self.jobs.reset();
        self.no_ages();
        self.up.set(0);
    }
}
