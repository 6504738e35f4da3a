use tokio::runtime::RuntimeMetrics;

use super::Runtime;

/// What guests take of this host, and what there is for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub slots: u32,
    pub slots_in_use: u32,
    /// In bytes, as below.
    pub memory: u64,
    pub memory_in_use: u64,
}

impl Runtime {
    pub fn room(&self) -> Room {
        Room {
            slots: self.admission.slots(),
            slots_in_use: self.admission.slots_in_use(),
            memory: self.memory.limit(),
            memory_in_use: self.memory.used(),
        }
    }

    /// Of the guests' threads; `None`: the host ends.
    pub fn threads_metrics(&self) -> Option<RuntimeMetrics> {
        self.threads.as_ref().map(tokio::runtime::Runtime::metrics)
    }
}
