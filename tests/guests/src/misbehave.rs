//! What hits the host's limits.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use usher_plugin::{
    log,
    raw::usher::plugin::log::{Level, write},
};

/// A multiply and an add that wait for each other: 4 cycles, so that this many are about a millisecond at 3 GHz.
const TURNS_A_MS: u64 = 750_000;

pub fn spin(ms: u64) -> u64 {
    let mut x = black_box(1_u64);
    for _ in 0..ms.saturating_mul(TURNS_A_MS) {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    black_box(x);
    ms
}

pub fn endless() -> ! {
    let turns = AtomicU64::new(0);
    loop {
        turns.fetch_add(1, Relaxed);
        black_box(&turns);
    }
}

/// Keeps and touches all of it.
pub fn allocate(bytes: u64) -> u64 {
    const PIECE: usize = 1 << 20;
    let mut pieces = Vec::new();
    let mut held = 0;
    while held < bytes {
        pieces.push(black_box(vec![1_u8; PIECE]));
        held += PIECE as u64;
    }
    held
}

static DEEPEST: AtomicU64 = AtomicU64::new(0);

/// Each frame needs its caller's number afterwards, so no tail call is made of it; and nothing on the stack has its
/// address taken, so it's the stack of the engine that overflows, not the one in linear memory.
#[inline(never)]
pub fn recurse(depth: u64) -> u64 {
    let reached = DEEPEST.fetch_add(1, Relaxed);
    if reached >= depth {
        return reached;
    }
    recurse(depth).wrapping_mul(3) ^ DEEPEST.load(Relaxed).wrapping_add(reached)
}

pub fn unreachable() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

/// Returns the number of lines.
pub fn log_flood(bytes: usize, line: usize) -> usize {
    let text = "x".repeat(line.max(1));
    let lines = bytes / text.len();
    for _ in 0..lines {
        log::info(&text, &[]);
    }
    lines
}

/// A JSON string.
pub fn big(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 2);
    text.push('"');
    text.extend(std::iter::repeat_n('a', bytes));
    text.push('"');
    text
}

pub fn log_of_many_fields(count: usize) {
    let fields: Vec<_> = (0..count).map(|_| ("n".to_owned(), String::new())).collect();
    write(Level::Info, "many fields", &fields);
}
