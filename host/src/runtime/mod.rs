//! The plugin runtime: components in a sandbox with limits.
//!
//! Owns: the engine and its pool, compiling in a limited child, the artifact cache, the host side of the WIT tracks,
//! the limits of an attempt, which releases this node has ready, and what recorded jobs do when they are run again.
//! Refuses: components that ask for more than manifest, policy and pool allow; precompiled code from anywhere but our
//! own private cache.
//! Invariant: a guest ends: by itself, at a limit with a name, or because its host ends. It never takes the host along.
//! Tables: none of its own (through `releases`; recorded and waiting jobs through `queue`).

mod admission;
mod artifacts;
pub mod check;
pub mod compile;
mod engine;
mod folder;
mod guest_log;
pub mod inspect;
mod judging;
mod limits;
pub mod pack;
mod place;
mod publish;
mod ready;
mod registry;
mod release;
mod room;
mod run;
pub mod stage;
mod state;
mod track_0_1;
pub mod verify;
mod wasi;

use std::sync::Arc;

use wasmtime::{Engine, component::Linker};

use self::{
    admission::Admission, artifacts::Artifacts, compile::Compiler, engine::Ticker, limits::MemoryBudget, state::State,
};
pub use self::{
    folder::Folder,
    guest_log::LogLine,
    place::Place,
    publish::{Offer, PublishError, Published},
    registry::{Refreshed, Registry},
    release::Release,
    room::Room,
    run::{Ended, JobInput, TrapKind, Verdict},
};
use crate::{config::Config, effects::Gate, outbox::Live, submit::Submitter};

#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("the WebAssembly engine cannot be made: {0}")]
    Engine(wasmtime::Error),
    #[error("the guests' runtime cannot be made")]
    Threads(#[source] std::io::Error),
    #[error("the artifact cache {dir} cannot be used")]
    Cache {
        dir: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// What runs guests. One a host.
pub struct Runtime {
    engine: Engine,
    linker: Linker<State>,
    compiler: Compiler,
    artifacts: Artifacts,
    gate: Gate,
    submitter: Submitter,
    memory: Arc<MemoryBudget>,
    admission: Admission,
    /// Who follows a job hears what it logs.
    live: Live,
    /// Guests must not starve the runtime that answers HTTP and Postgres.
    threads: Option<tokio::runtime::Runtime>,
    thread_count: usize,
    _ticker: Ticker,
}

impl Runtime {
    /// The venue that a payload names, where it decides whose account is used.
    pub fn venue(&self, payload: &str) -> Option<String> {
        self.gate.providers.stripe.venue(payload)
    }

    /// What guests say of their progress goes there, too.
    #[must_use]
    pub fn telling(mut self, live: Live) -> Self {
        self.live = live;
        self
    }

    pub fn new(config: &Config, gate: Gate, submitter: Submitter) -> Result<Self, RuntimeError> {
        let settings = &config.runtime;
        let engine = engine::pooled(settings).map_err(RuntimeError::Engine)?;
        let mut linker = Linker::new(&engine);
        track_0_1::link(&mut linker).map_err(RuntimeError::Engine)?;
        wasi::link(&mut linker).map_err(RuntimeError::Engine)?;
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads)
            .thread_name("guest")
            .enable_all()
            .build()
            .map_err(RuntimeError::Threads)?;
        let artifacts = Artifacts::open(settings.artifacts.clone(), &engine)?;
        Ok(Self {
            linker,
            compiler: Compiler::new(settings),
            artifacts,
            gate,
            submitter,
            memory: MemoryBudget::new(settings.memory_budget),
            admission: Admission::new(settings),
            live: Live::default(),
            threads: Some(threads),
            thread_count: settings.threads,
            _ticker: Ticker::start(&engine).map_err(RuntimeError::Threads)?,
            engine,
        })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Waiting for guests here would panic inside another runtime; whoever dropped us no longer wants their results.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}
