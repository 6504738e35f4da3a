//! What a host counts, in the words of Prometheus (text format 0.0.4). docs/metrics.md says what each number means.
//!
//! A job costs a few atomic additions: handles are resolved once a queue, type, plugin and provider, and are found again
//! without a lock. Labels come from small sets: never a tenant, a subject or an id.

mod effects;
mod http;
mod jobs;
mod live;
mod process;
mod queues;
mod table;
mod webhooks;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

pub use prometheus::{GaugeVec, Histogram, IntGauge, TEXT_FORMAT, core::Collector};
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

pub use self::{
    effects::{EffectEnd, EffectMark, Effects, OfProvider},
    http::{Http, UnderWay},
    jobs::{AttemptEnd, Jobs, OfQueue, OfType},
    live::{Live, Total},
    queues::{Depth, Queues},
    webhooks::{DeliveryEnd, Webhooks},
};

/// All metrics of a host. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Numbers that are read when they are asked for are read by one at a time.
    reading: Arc<Mutex<()>>,
    pub jobs: Arc<Jobs>,
    pub http: Arc<Http>,
    pub webhooks: Arc<Webhooks>,
    pub queues: Arc<Queues>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::new(),
            reading: Arc::default(),
            jobs: Arc::default(),
            http: Arc::default(),
            webhooks: Arc::default(),
            queues: Arc::default(),
        };
        metrics.show(metrics.jobs.collectors());
        metrics.show(metrics.http.collectors());
        metrics.show(metrics.webhooks.collectors());
        metrics.show(metrics.queues.collectors());
        metrics.show(process::collectors());
        let build = gauges("usher_build_info", "Always 1; the labels say which Usher this is.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        metrics.show(vec![Box::new(build)]);
        metrics
    }
}

impl Metrics {
    /// From now on these are part of the text.
    pub fn show(&self, collectors: Vec<Box<dyn Collector>>) {
        for collector in collectors {
            // Two of one name are a fault of ours; the host runs on without the second.
            if let Err(error) = self.registry.register(collector) {
                tracing::error!(error = %error, "a metric is not shown");
            }
        }
    }

    /// All of them, of [`TEXT_FORMAT`].
    pub fn text(&self) -> String {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.jobs.read();
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(error = %error, "the metrics cannot be written");
            String::new()
        })
    }
}

/// Sizes of the commits of one kind; made where these commits are.
pub fn commit_sizes(kind: &str) -> Histogram {
    let options =
        HistogramOpts::new("usher_commit_batch_items", "Items that shared one commit, by what was committed.");
    let options = options.const_label("kind", kind).buckets(SIZES.to_vec());
    Histogram::with_opts(options).expect(SOUND)
}

/// How long things take, in seconds.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// How long jobs wait, in seconds.
const WAITS: [f64; 14] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0];
/// How many there are in a batch.
const SIZES: [f64; 11] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// What a name, a label or a bucket that stands in this code is.
const SOUND: &str = "a sound constant";

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(SOUND)
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect(SOUND)
}

fn histograms(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels).expect(SOUND)
}

/// Gauges with labels, to be set by whoever knows.
pub fn gauges(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    GaugeVec::new(Opts::new(name, help), labels).expect(SOUND)
}

/// A gauge, to be set by whoever knows.
pub fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect(SOUND)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_text_has_each_name_once_with_its_help_and_type() {
        let metrics = Metrics::default();
        let effects = Effects::new(&["email"]);
        metrics.show(effects.collectors());
        metrics.show(vec![Box::new(commit_sizes("submit"))]);
        metrics.jobs.of_type("send-email").ended(AttemptEnd::Completed);
        metrics.jobs.of_queue("money").claimed(3, Duration::from_millis(2));
        let text = metrics.text();
        let types: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let mut names: Vec<_> = types.iter().filter_map(|line| line.split(' ').next()).collect();
        let shown = names.len();
        names.dedup();
        assert_eq!(names.len(), shown, "{text}");
        for name in names {
            assert!(text.contains(&format!("# HELP {name} ")), "{name} says nothing");
            assert!(name.starts_with("usher_") || name.starts_with("process_"), "{name}");
        }
        assert!(text.contains("usher_attempts_total{outcome=\"completed\",type=\"send-email\"} 1"), "{text}");
        assert!(text.contains("usher_attempts_total{outcome=\"dead\",type=\"send-email\"} 0"), "{text}");
        assert!(text.contains("usher_claim_batch_jobs_sum{queue=\"money\"} 3"), "{text}");
        assert!(text.contains("usher_commit_batch_items_count{kind=\"settle\"} 0"), "{text}");
    }

    #[test]
    fn labels_of_many_names_stay_few() {
        let metrics = Metrics::default();
        for n in 0..5_000 {
            metrics.jobs.of_type(&format!("type-{n}")).ended(AttemptEnd::Completed);
        }
        let text = metrics.text();
        let series = text.lines().filter(|line| line.starts_with("usher_attempts_total{")).count();
        assert!(series <= 8 * 1_001, "{series}");
        assert!(text.contains("usher_attempts_total{outcome=\"completed\",type=\"other\"} 4000"), "no count is lost");
    }
}
