//! WASI 0.2 for guests whose toolchains import it, and nothing of it reaches out: no files, no network, no environment, no
//! arguments; time stands still and random numbers repeat themselves as in the contract's own `context`; what is written
//! to stdout and stderr are log lines. `wasi:sockets` and `wasi:http` are not linked at all.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::TryRng;
use tokio::io::{AsyncWrite, empty};
use tracing::Level;
use wasmtime::{
    Engine,
    component::{Component, HasSelf, Linker, Resource, ResourceTable, ResourceType, types::ComponentItem},
};
use wasmtime_wasi::{
    HostWallClock, WasiCtx, WasiCtxView, WasiView, async_trait,
    cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView},
    clocks::{WasiClocks, WasiClocksView},
    filesystem::{WasiFilesystem, WasiFilesystemView},
    p2::{
        DynPollable, OutputStream, Pollable, StreamResult,
        bindings::{
            cli,
            clocks::{monotonic_clock, wall_clock},
            filesystem, random,
        },
        subscribe,
    },
    random::{WasiRandom, WasiRandomView},
};
use wasmtime_wasi_io::{IoView, bytes::Bytes};

use super::{
    guest_log::{GuestLog, MAX_LINE},
    state::{Halt, State},
};
use crate::effects::Attempt;

/// Handles (streams, pollables) of one guest at a time; each is a small allocation of the host's.
const MAX_HANDLES: usize = 1000;
/// Random bytes of one call.
const MAX_RANDOM: u64 = 1 << 20;
/// Bytes of stdout or stderr that one call may write.
const MAX_WRITE: usize = 64 << 10;

/// All but the network's. wasmtime's own implementations, fed by what an attempt can replay.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi_io::add_to_linker_async(linker)?;
    wall_clock::add_to_linker::<_, WasiClocks>(linker, State::clocks)?;
    // Ours: theirs sleeps by the host's clock.
    monotonic_clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, State::random)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, State::random)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    // A descriptor comes from a preopened folder or from another descriptor. There is no folder.
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    Ok(())
}

/// Puts traps where a component imports `packages` that its manifest says it never calls.
pub(super) fn cut(
    linker: &mut Linker<State>,
    engine: &Engine,
    component: &Component,
    packages: &[String],
) -> wasmtime::Result<()> {
    /// No value of it is ever made.
    struct Nothing;
    /// Resources that others borrow from wasi:io; they are linked there.
    const OF_IO: [&str; 4] = ["error", "input-stream", "output-stream", "pollable"];
    for (interface, import) in component.component_type().imports(engine) {
        let package = interface.split('/').next().unwrap_or_default();
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        if !packages.iter().any(|cut| cut == package) {
            continue;
        }
        let mut at = linker.instance(interface)?;
        for (name, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let called = format!("{interface}#{name}");
                    at.func_new(name, move |_, _, _, _| Err(Halt::NotThere(called.clone()).into()))?;
                }
                ComponentItem::Resource(_) if !OF_IO.contains(&name) => {
                    at.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// One attempt's.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    /// Nanoseconds. Ends of effects come from the clocks of several hosts, and may go back; this one must not.
    monotonic: u64,
}

impl Wasi {
    fn new(attempt: &Arc<Attempt>, log: &GuestLog) -> Self {
        let (high, low) = attempt.job.0.as_u64_pair();
        let ctx = WasiCtx::builder()
            .wall_clock(Standing(Arc::clone(attempt)))
            .secure_random(Replayable(Arc::clone(attempt)))
            .insecure_random(Replayable(Arc::clone(attempt)))
            // Not drawn from the attempt: what `context` gives must not depend on the toolchain.
            .insecure_random_seed((u128::from(low) << 64) | u128::from(high.rotate_left(32)))
            .max_random_size(MAX_RANDOM)
            .stdout(Output::new(log, Level::INFO))
            .stderr(Output::new(log, Level::WARN))
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self { ctx, table, monotonic: 0 }
    }
}

impl State {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.attempt, &self.log)))
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Wasi { ctx, table, .. } = self.wasi();
        WasiCtxView { ctx, table }
    }
}

impl IoView for State {
    fn table(&mut self) -> &mut ResourceTable {
        &mut self.wasi().table
    }
}

/// The clock of the attempt: stands still between effects.
struct Standing(Arc<Attempt>);

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now_ms())
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let now = self.attempt.now_ms().saturating_mul(1_000_000);
        let wasi = self.wasi();
        wasi.monotonic = wasi.monotonic.max(now);
        Ok(wasi.monotonic)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000_000)
    }

    fn subscribe_instant(&mut self, _: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.at_once()
    }

    fn subscribe_duration(&mut self, _: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.at_once()
    }
}

impl State {
    /// No sleep: time would not have moved after it. A guest that waits for its clock computes, and meets its CPU limit.
    fn at_once(&mut self) -> wasmtime::Result<Resource<DynPollable>> {
        let table = self.table();
        let now = table.push(AtOnce)?;
        subscribe(table, now)
    }
}

struct AtOnce;

#[async_trait]
impl Pollable for AtOnce {
    async fn ready(&mut self) {}
}

/// The attempt's random numbers.
struct Replayable(Arc<Attempt>);

impl TryRng for Replayable {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        // The better half.
        Ok((self.0.random() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.random())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.random().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// stdout or stderr: whole lines into the guest's log, under its limits. Holds at most one line, and is never full.
#[derive(Clone)]
struct Output(Arc<Mutex<Line>>);

struct Line {
    log: GuestLog,
    level: Level,
    begun: Vec<u8>,
}

impl Output {
    fn new(log: &GuestLog, level: Level) -> Self {
        Self(Arc::new(Mutex::new(Line { log: log.clone(), level, begun: Vec::new() })))
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = part;
            while !rest.is_empty() {
                // A line without an end is cut: it is the host's memory.
                let (piece, after) = rest.split_at(rest.len().min(MAX_LINE - self.begun.len()));
                self.begun.extend_from_slice(piece);
                rest = after;
                if piece.ends_with(b"\n") || self.begun.len() == MAX_LINE {
                    self.end();
                }
            }
        }
    }

    fn end(&mut self) {
        let line = String::from_utf8_lossy(&self.begun);
        let line = line.trim_end();
        if !line.is_empty() {
            self.log.write(self.level, line);
        }
        self.begun.clear();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end();
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// For WASI 0.3, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(empty())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

#[cfg(test)]
mod tests;
