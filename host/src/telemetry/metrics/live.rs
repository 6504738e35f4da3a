use prometheus::{
    Counter, CounterVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::SOUND;

/// Metrics that are read when somebody asks for them.
pub struct Live<L> {
    shown: Vec<Box<dyn Collector>>,
    look: L,
}

impl<L: Fn() + Send + Sync> Live<L> {
    /// `look` sets what is `shown`.
    pub fn new(shown: Vec<Box<dyn Collector>>, look: L) -> Self {
        Self { shown, look }
    }
}

impl<L: Fn() + Send + Sync> Collector for Live<L> {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = Vec::new();
        for shown in &self.shown {
            all.extend(shown.desc());
        }
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.look)();
        let mut all = Vec::new();
        for shown in &self.shown {
            all.extend(shown.collect());
        }
        all
    }
}

/// Counters of what somebody else adds up. To be set by one at a time, as [`Live`] is.
#[derive(Clone, Debug)]
pub struct Total(CounterVec);

impl Total {
    pub fn new(name: &str, help: &str, labels: &[&str]) -> Self {
        Self(CounterVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    pub fn shown(&self) -> Box<dyn Collector> {
        Box::new(self.0.clone())
    }

    pub fn set(&self, labels: &[&str], total: f64) {
        let counter: Counter = self.0.with_label_values(labels);
        let more = total - counter.get();
        if more > 0.0 {
            counter.inc_by(more);
        }
    }
}
