use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use super::engine::CORE_INSTANCES_A_SLOT;
use crate::{config::Runtime as Settings, releases::Needs};

/// A page of linear memory.
const PAGE: u64 = 64 << 10;

/// Room for guests: slots of the pool, and the memory that they have from the start. Asked before a store is made, since the
/// pool would say no with an error that looks like the guest's.
///
/// Given out in the order of asking, so that a release which needs much is not passed by those that need little for ever.
pub(super) struct Admission {
    pages: Room,
    slots: Room,
}

struct Room {
    free: Semaphore,
    all: u32,
}

/// Gives its room back when it goes.
pub(super) struct Admitted<'a> {
    _room: [SemaphorePermit<'a>; 2],
}

impl Admission {
    pub fn new(settings: &Settings) -> Self {
        Self {
            pages: Room::new(u32::try_from(settings.memory_budget / PAGE).unwrap_or(u32::MAX)),
            slots: Room::new(settings.slots),
        }
    }

    pub fn slots(&self) -> u32 {
        self.slots.all
    }

    /// Memory first: who has a slot has all that it needs, runs, and ends.
    pub async fn admit(&self, needs: &Needs) -> Result<Admitted<'_>, AcquireError> {
        let pages = self.pages.take(needs.memory_pages.max(1)).await?;
        let slots = self.slots.take(slots(needs)).await?;
        Ok(Admitted { _room: [pages, slots] })
    }
}

impl Room {
    fn new(all: u32) -> Self {
        Self { free: Semaphore::new(all as usize), all }
    }

    async fn take(&self, wanted: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.free.acquire_many(wanted.min(self.all)).await
    }
}

/// Slots that one instance takes.
pub(super) fn slots(needs: &Needs) -> u32 {
    needs.core_instances.div_ceil(CORE_INSTANCES_A_SLOT).max(needs.memories).max(needs.tables).max(1)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn needs(core_instances: u32, memories: u32, tables: u32, memory_pages: u32) -> Needs {
        Needs { core_instances, memories, tables, memory_pages }
    }

    #[test]
    fn an_instance_takes_as_many_slots_as_it_needs_most_of() {
        assert_eq!(slots(&needs(1, 1, 1, 18)), 1, "Rust");
        assert_eq!(slots(&needs(13, 2, 2, 46)), 2, "JavaScript");
        assert_eq!(slots(&needs(38, 1, 2, 200)), 3, "Python");
        assert_eq!(slots(&Needs::default()), 1);
    }

    #[tokio::test]
    async fn who_needs_much_waits_for_its_turn_and_is_not_passed() {
        let settings = Settings { slots: 10, memory_budget: 100 * PAGE, ..Settings::default() };
        let admission = Admission::new(&settings);
        let light = needs(1, 1, 1, 1);
        let running = admission.admit(&light).await.expect("open");
        let all = needs(1, 10, 1, 1);
        let mut heavy = Box::pin(admission.admit(&all));
        assert!(heavy.as_mut().now_or_never().is_none(), "nine of ten are free");
        let mut late = Box::pin(admission.admit(&light));
        assert!(late.as_mut().now_or_never().is_none(), "behind the heavy one");
        drop(running);
        let heavy = heavy.now_or_never().expect("its turn").expect("open");
        assert!(late.as_mut().now_or_never().is_none());
        drop(heavy);
        assert!(late.now_or_never().is_some());
    }

    #[tokio::test]
    async fn memory_is_room_too_and_who_needs_more_than_all_gets_all() {
        let settings = Settings { slots: 10, memory_budget: 100 * PAGE, ..Settings::default() };
        let admission = Admission::new(&settings);
        let first = admission.admit(&needs(1, 1, 1, 60)).await.expect("open");
        assert!(admission.admit(&needs(1, 1, 1, 60)).now_or_never().is_none());
        drop(first);
        assert!(admission.admit(&needs(1, 99, 1, 600)).now_or_never().is_some());
    }
}
