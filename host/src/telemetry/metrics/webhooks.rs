use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec};

use super::{Collector, SECONDS, SOUND, counters};

/// What became of one send of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryEnd {
    Delivered,
    /// It is tried again.
    Again,
    /// Its tries are used up.
    Failed,
    /// The endpoint wants no more.
    Gone,
}

impl DeliveryEnd {
    const NAMES: [&str; 4] = ["delivered", "again", "failed", "gone"];
}

#[derive(Debug)]
pub struct Webhooks {
    sends: IntCounterVec,
    ends: [IntCounter; DeliveryEnd::NAMES.len()],
    seconds: Histogram,
}

impl Default for Webhooks {
    fn default() -> Self {
        let sends =
            counters("usher_webhook_sends_total", "Webhooks that were sent, by what became of it.", &["outcome"]);
        let seconds = HistogramOpts::new("usher_webhook_send_duration_seconds", "How long endpoints took to answer.");
        Self {
            ends: DeliveryEnd::NAMES.map(|end| sends.with_label_values(&[end])),
            sends,
            seconds: Histogram::with_opts(seconds.buckets(SECONDS.to_vec())).expect(SOUND),
        }
    }
}

impl Webhooks {
    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.sends.clone()), Box::new(self.seconds.clone())]
    }

    pub fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    pub fn ended(&self, end: DeliveryEnd) {
        self.ends[end as usize].inc();
    }
}
