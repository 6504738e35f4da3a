use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use super::engine::{CORE_INSTANCES_A_SLOT, TABLES_A_SLOT};
use crate::{config::Runtime as Settings, releases::Needs};

/// A page of linear memory.
pub(super) const PAGE: u64 = 64 << 10;

/// An instance is heavy if it takes more than one slot, or this many times what a slot has of the memory.
const HEAVY: u32 = 4;

/// Room for guests: slots of the pool, and the memory that they have from the start. Asked before a store is made, since the
/// pool would say no with an error that looks like the guest's.
///
/// Given out in the order of asking, so that a release which needs much is not passed by those that need little for ever. But a guest
/// keeps its room while it waits for a provider, and a few dozen heavy ones are all of it: together they get three quarters at most, and
/// those beyond wait in a line of their own, which holds nobody else up.
pub(super) struct Admission {
    all: Rooms,
    heavy: Rooms,
}

struct Rooms {
    pages: Room,
    slots: Room,
}

struct Room {
    free: Semaphore,
    all: u32,
}

/// Gives its room back when it goes.
pub(super) struct Admitted<'a> {
    _share: Option<[SemaphorePermit<'a>; 2]>,
    _room: [SemaphorePermit<'a>; 2],
}

impl Admission {
    pub fn new(settings: &Settings) -> Self {
        let pages = u32::try_from(settings.memory_budget / PAGE).unwrap_or(u32::MAX);
        let most = |all: u32| (all - all / 4).max(1);
        Self { all: Rooms::new(pages, settings.slots), heavy: Rooms::new(most(pages), most(settings.slots)) }
    }

    pub fn slots(&self) -> u32 {
        self.all.slots.all
    }

    pub fn slots_in_use(&self) -> u32 {
        let free = u32::try_from(self.all.slots.free.available_permits()).unwrap_or(u32::MAX);
        self.slots().saturating_sub(free)
    }

    /// Of 64 KiB.
    pub fn pages(&self) -> u32 {
        self.all.pages.all
    }

    pub async fn admit(&self, needs: &Needs) -> Result<Admitted<'_>, AcquireError> {
        let share = if self.is_heavy(needs) { Some(self.heavy.take(needs).await?) } else { None };
        Ok(Admitted { _share: share, _room: self.all.take(needs).await? })
    }

    fn is_heavy(&self, needs: &Needs) -> bool {
        let even = self.pages() / self.slots().max(1);
        slots(needs) > 1 || needs.memory_pages > even.saturating_mul(HEAVY)
    }
}

impl Rooms {
    fn new(pages: u32, slots: u32) -> Self {
        Self { pages: Room::new(pages), slots: Room::new(slots) }
    }

    /// Memory first: who has a slot has all that it needs, runs, and ends.
    async fn take(&self, needs: &Needs) -> Result<[SemaphorePermit<'_>; 2], AcquireError> {
        let pages = self.pages.take(needs.memory_pages.max(1)).await?;
        Ok([pages, self.slots.take(slots(needs)).await?])
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
    let instances = needs.core_instances.div_ceil(CORE_INSTANCES_A_SLOT);
    instances.max(needs.memories).max(needs.tables.div_ceil(TABLES_A_SLOT)).max(1)
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
        assert_eq!(slots(&needs(3, 1, 2, 18)), 1, "Rust");
        assert_eq!(slots(&needs(8, 2, 2, 46)), 2, "JavaScript");
        assert_eq!(slots(&needs(14, 1, 2, 205)), 1, "Python, which its memory makes heavy");
        assert_eq!(slots(&needs(38, 1, 5, 200)), 3);
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
    async fn heavy_ones_leave_room_for_light_ones_and_wait_in_a_line_of_their_own() {
        let settings = Settings { slots: 8, memory_budget: 800 * PAGE, ..Settings::default() };
        let admission = Admission::new(&settings);
        let (light, heavy) = (needs(1, 1, 1, 1), needs(32, 1, 1, 1));
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(admission.admit(&heavy).await.expect("open"));
        }
        let mut fourth = Box::pin(admission.admit(&heavy));
        assert!(fourth.as_mut().now_or_never().is_none(), "two slots are free, and not for it");
        let passes = admission.admit(&light).now_or_never().expect("at once").expect("open");
        drop(running.pop());
        assert!(fourth.now_or_never().is_some(), "its turn");
        drop(passes);
        // What is much is told by the memory too: four times a slot's even share.
        let large = needs(1, 1, 1, 401);
        assert!(admission.is_heavy(&large) && !admission.is_heavy(&needs(1, 1, 1, 400)));
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
