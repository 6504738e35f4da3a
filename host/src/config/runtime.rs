use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// Guests: the pool they live in, and what one of them may at most ask for in its manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runtime {
    /// Memories in the pool, twice as many tables, and 16 times as many core instances; admission is in these units.
    pub slots: u32,
    /// Host-wide budget of guests' linear memory, in bytes.
    pub memory_budget: u64,
    /// Largest `limits.memory` of a job type, in bytes.
    pub max_memory: u64,
    /// Largest `limits.cpu` of a job type.
    #[serde(with = "humantime_serde")]
    pub max_cpu: Duration,
    /// Largest `limits.wall` of a job type.
    #[serde(with = "humantime_serde")]
    pub max_wall: Duration,
    /// Largest `limits.effects` of a job type.
    pub max_effects: u32,
    /// Threads that run guests.
    pub threads: usize,
    /// Compiled components, private to this host (made 0700).
    pub artifacts: Option<PathBuf>,
    /// RLIMIT_DATA of the compiling child, in bytes.
    pub compile_memory: u64,
    /// RLIMIT_CPU of the compiling child.
    #[serde(with = "humantime_serde")]
    pub compile_cpu: Duration,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            slots: 1000,
            memory_budget: 1 << 30,
            max_memory: 256 << 20,
            max_cpu: Duration::from_secs(10),
            max_wall: Duration::from_secs(300),
            max_effects: 1000,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            artifacts: None,
            compile_memory: 1 << 30,
            compile_cpu: Duration::from_secs(60),
        }
    }
}
