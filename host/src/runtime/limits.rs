use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use wasmtime::ResourceLimiter;

use super::state::Halt;
use crate::clock;

/// Linear memory of all guests together, in bytes.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    limit: u64,
    used: AtomicU64,
}

impl MemoryBudget {
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|total| *total <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes of a table's element.
pub(super) const ELEMENT: u64 = 8;
/// Most elements of a table.
const MAX_TABLE: usize = 100_000;

/// Charges one guest's growth to its job's limit and to the host's budget.
#[derive(Debug)]
pub(super) struct Memory {
    budget: Arc<MemoryBudget>,
    limit: u64,
    used: u64,
    /// What the host keeps for it beside its linear memory.
    kept: u64,
    /// A growth was refused: the trap that follows is about memory.
    pub denied: bool,
}

impl Memory {
    pub fn new(budget: Arc<MemoryBudget>, limit: u64) -> Self {
        Self { budget, limit, used: 0, kept: 0, denied: false }
    }

    /// Of the host's budget alone, until the attempt ends: the job's limit is about linear memory.
    pub fn keep(&mut self, bytes: u64) -> Result<(), Halt> {
        // How full the host is differs from attempt to attempt, so no guest may see it and go on.
        if !self.budget.take(bytes) {
            return Err(Halt::Crowded);
        }
        self.kept += bytes;
        Ok(())
    }

    /// A guest's memory never shrinks, so this is its peak.
    pub fn used(&self) -> u64 {
        self.used
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let allowed = maximum.is_none_or(|most| desired <= most)
            && self.used.checked_add(more).is_some_and(|total| total <= self.limit);
        if !allowed {
            self.denied = true;
            return Ok(false);
        }
        // As for what is kept.
        if !self.budget.take(more) {
            return Err(Halt::Crowded.into());
        }
        self.used += more;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > MAX_TABLE || maximum.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        // What a table has at the start was admitted.
        if current > 0 {
            self.keep(desired.saturating_sub(current) as u64 * ELEMENT)?;
        }
        Ok(true)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.budget.give_back(self.used + self.kept);
    }
}

/// CPU time of one guest: what its thread spent inside the guest's polls. A call that waits costs nothing.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    used: AtomicU64,
    /// The thread's clock at the start of the poll under way.
    began: AtomicU64,
}

impl Cpu {
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// Inside a poll, on its thread.
    pub fn so_far(&self) -> Duration {
        let began = Duration::from_nanos(self.began.load(Ordering::Relaxed));
        self.used() + clock::thread_cpu().saturating_sub(began)
    }

    fn begin(&self) {
        self.began.store(nanos(clock::thread_cpu()), Ordering::Relaxed);
    }

    fn end(&self) {
        self.used.store(nanos(self.so_far()), Ordering::Relaxed);
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

pin_project! {
    /// A future whose polls are charged to a guest.
    pub(super) struct Charged<F> {
        #[pin]
        future: F,
        cpu: Arc<Cpu>,
    }
}

impl<F> Charged<F> {
    pub fn new(future: F, cpu: Arc<Cpu>) -> Self {
        Self { future, cpu }
    }
}

impl<F: Future> Future for Charged<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.cpu.begin();
        let polled = this.future.poll(cx);
        this.cpu.end();
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_charged_twice_and_given_back() {
        let budget = MemoryBudget::new(100);
        let mut one = Memory::new(Arc::clone(&budget), 80);
        assert!(one.memory_growing(0, 60, None).expect("no error"));
        assert!(!one.memory_growing(60, 90, None).expect("no error"), "beyond the job's limit");
        assert!(one.denied);
        let mut two = Memory::new(Arc::clone(&budget), 80);
        let crowded = two.memory_growing(0, 50, None).expect_err("beyond the host's budget");
        assert!(matches!(crowded.downcast_ref::<Halt>(), Some(Halt::Crowded)) && !two.denied);
        drop(one);
        assert!(two.memory_growing(0, 50, None).expect("no error"));
    }

    #[test]
    fn what_the_host_keeps_for_a_guest_is_of_its_budget_and_not_of_the_jobs_limit() {
        let budget = MemoryBudget::new(1_000);
        let mut one = Memory::new(Arc::clone(&budget), 10);
        one.keep(400).expect("there is room");
        assert!(one.table_growing(0, 100, None).expect("no error"), "what it has at the start was admitted");
        assert!(one.table_growing(100, 150, None).expect("no error"));
        assert!(!one.table_growing(150, 200, Some(199)).expect("no error"), "its own maximum");
        let crowded = one.table_growing(150, 200, None).expect_err("600 bytes are left, and 400 of them are gone");
        assert!(matches!(crowded.downcast_ref::<Halt>(), Some(Halt::Crowded)) && !one.denied);
        assert!(one.memory_growing(0, 10, None).expect("no error"));
        assert_eq!(one.used(), 10);
        drop(one);
        Memory::new(budget, 1_000).keep(1_000).expect("all of it was given back");
    }

    #[tokio::test]
    async fn waiting_costs_no_cpu_and_computing_does() {
        let cpu = Arc::new(Cpu::default());
        Charged::new(tokio::time::sleep(Duration::from_millis(30)), Arc::clone(&cpu)).await;
        let waited = cpu.used();
        let spin = async {
            while cpu.so_far() < waited + Duration::from_millis(20) {
                std::hint::spin_loop();
            }
        };
        Charged::new(spin, Arc::clone(&cpu)).await;
        assert!(waited < Duration::from_millis(20), "{waited:?}");
        assert!(cpu.used() >= waited + Duration::from_millis(20));
    }
}
