use std::{sync::Arc, time::Duration};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::{Collector, SECONDS, SOUND, counters, histograms, table::Table};

/// How one provider call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectEnd {
    Ok,
    /// It said no and did nothing.
    Rejected,
    /// Nothing was sent.
    Unreachable,
    /// "Not now", and it did nothing.
    Transient,
    /// The answer was lost.
    Doubt,
    /// The same, and nobody can be asked.
    Unknown,
}

impl EffectEnd {
    const NAMES: [&str; 6] = ["ok", "rejected", "unreachable", "transient", "doubt", "unknown"];
}

/// What was written into the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectMark {
    Started,
    /// Answered.
    Ended,
    /// Surely did not happen; its place stays open.
    Deferred,
    /// It may have happened.
    Doubt,
    /// Refused before anything was sent: no grant, or not well formed.
    Refused,
}

impl EffectMark {
    const NAMES: [&str; 5] = ["started", "ended", "deferred", "doubt", "refused"];
}

/// Calls of providers through this host's gate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Effects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    calls: HistogramVec,
    in_flight: IntGaugeVec,
    marks: IntCounterVec,
    waits: HistogramVec,
    put_off: IntCounterVec,
    providers: Table<OfProvider>,
}

/// The numbers of one provider.
#[derive(Debug)]
pub struct OfProvider {
    calls: [Histogram; EffectEnd::NAMES.len()],
    in_flight: IntGauge,
    marks: [IntCounter; EffectMark::NAMES.len()],
    wait: Histogram,
    put_off: IntCounter,
}

impl Effects {
    /// Shows these from the start.
    pub fn new(providers: &[&str]) -> Self {
        let in_flight = Opts::new("usher_effects_in_flight", "Provider calls under way.");
        let effects = Self(Arc::new(Inner {
            calls: histograms(
                "usher_effect_duration_seconds",
                "How long provider calls took, by how they ended.",
                &["provider", "outcome"],
                &SECONDS,
            ),
            in_flight: IntGaugeVec::new(in_flight, &["provider"]).expect(SOUND),
            marks: counters(
                "usher_effects_total",
                "Effects by the state that this host wrote into the journal.",
                &["provider", "state"],
            ),
            waits: histograms(
                "usher_rate_limit_wait_seconds",
                "How long calls waited in place for their rate limits.",
                &["provider"],
                &SECONDS,
            ),
            put_off: counters(
                "usher_rate_limit_deferred_total",
                "Calls whose job was put off because their turn was too far away.",
                &["provider"],
            ),
            providers: Table::default(),
        }));
        for provider in providers {
            effects.of(provider);
        }
        effects
    }

    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.0.calls.clone()),
            Box::new(self.0.in_flight.clone()),
            Box::new(self.0.marks.clone()),
            Box::new(self.0.waits.clone()),
            Box::new(self.0.put_off.clone()),
        ]
    }

    pub fn of(&self, provider: &str) -> Arc<OfProvider> {
        let inner = &self.0;
        inner.providers.get(provider, |provider| OfProvider {
            calls: EffectEnd::NAMES.map(|end| inner.calls.with_label_values(&[provider, end])),
            in_flight: inner.in_flight.with_label_values(&[provider]),
            marks: EffectMark::NAMES.map(|state| inner.marks.with_label_values(&[provider, state])),
            wait: inner.waits.with_label_values(&[provider]),
            put_off: inner.put_off.with_label_values(&[provider]),
        })
    }
}

impl OfProvider {
    /// A call is under way until what this gives is dropped.
    pub fn sending(&self) -> Sending<'_> {
        self.in_flight.inc();
        Sending(&self.in_flight)
    }

    pub fn called(&self, end: EffectEnd, took: Duration) {
        self.calls[end as usize].observe(took.as_secs_f64());
    }

    pub fn wrote(&self, mark: EffectMark) {
        self.marks[mark as usize].inc();
    }

    /// Its rate limits let a call pass.
    pub fn passed(&self, after: Duration) {
        self.wait.observe(after.as_secs_f64());
    }

    /// They did not, for so long that it comes back later.
    pub fn put_off(&self) {
        self.put_off.inc();
    }
}

pub struct Sending<'a>(&'a IntGauge);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
