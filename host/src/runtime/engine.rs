use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result};

use crate::config::Runtime as Settings;

/// How long a guest computes before it yields its thread and its budget is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Address space of one memory. With the guard it makes a bounds check free; 1,000 of them fit into 47 bits easily.
const RESERVATION: u64 = 4 << 30;
const GUARD: u64 = 32 << 20;
/// Wasm frames; the fiber's stack has room for host frames on top.
const WASM_STACK: usize = 512 << 10;
const FIBER_STACK: usize = 2 << 20;
/// Of a slot's memory that stays with the process: a Rust guest has 1 MiB of stack before its data.
const KEEP_RESIDENT: usize = 1280 << 10;
/// Most core instances, memories and tables of one component. One of componentize-py has 14 to 38 core instances, by its version.
pub(super) const PER_COMPONENT: u32 = 64;
/// A slot of the pool is a memory, which has address space of its own, and so many core instances, which have nothing but a count.
/// Toolchains that link libraries make many of these: JavaScript's up to 13, Python's up to 38.
pub(super) const CORE_INSTANCES_A_SLOT: u32 = 16;
/// And two tables: a guest's own, and the one by which a component's imports reach its memory.
pub(super) const TABLES_A_SLOT: u32 = 2;

/// All that decides what compiled code looks like. The compiling child and the host must agree on it to the letter.
fn common() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .memory_reservation(RESERVATION)
        .memory_guard_size(GUARD)
        .memory_reservation_for_growth(0)
        .memory_may_move(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        // JavaScript and Python toolchains need these two.
        .wasm_tail_call(true)
        .wasm_multi_memory(true)
        // Young, and nothing here needs them: less to go wrong. Threads, gc, exceptions and component-model async are
        // not even compiled in.
        .wasm_memory64(false)
        .wasm_relaxed_simd(false);
    config
}

/// The engine that runs guests, in a pool.
pub(super) fn pooled(settings: &Settings) -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(settings.slots)
        .total_core_instances(settings.slots.saturating_mul(CORE_INSTANCES_A_SLOT))
        .total_memories(settings.slots)
        .total_tables(settings.slots.saturating_mul(TABLES_A_SLOT))
        .total_stacks(settings.slots)
        .max_core_instances_per_component(PER_COMPONENT)
        .max_memories_per_component(PER_COMPONENT.min(settings.slots))
        .max_tables_per_component(PER_COMPONENT.min(settings.slots))
        .max_memory_size(usize::try_from(settings.max_memory).unwrap_or(usize::MAX))
        .table_elements(100_000)
        // Warm pages of a slot are cheaper to clear than to fault in again; more than this is given back. Where the
        // kernel can say which pages were written (Linux 6.7), only those are cleared.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(16 << 10);
    let mut config = common();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// The engine of the compiling child: same code, no pool.
pub(super) fn compiling() -> Result<Engine> {
    Engine::new(&common())
}

/// Counts up the epoch, from a thread of its own: a tokio timer would stand still when all threads compute.
pub(super) struct Ticker(Arc<AtomicBool>);

impl Ticker {
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let (engine, flag) = (engine.weak(), Arc::clone(&ended));
        thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(Self(ended))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
