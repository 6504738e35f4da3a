use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::{
    Release, Runtime,
    guest_log::{GuestLog, LogLine},
    limits::{Charged, Cpu, Memory},
    state::{Halt, State},
    track_0_1::{Failure, Job},
};
use crate::{
    effects::{Attempt, Script, Stop, World},
    ids::JobId,
    releases::Limits,
    submit::{ChildOf, PreparedJob},
    webhooks::Publication,
};

/// What a guest is given.
#[derive(Clone, Debug)]
pub struct JobInput {
    pub id: JobId,
    pub job_type: String,
    pub tenant: String,
    /// Not shown to the guest; its children are submitted in this name.
    pub subject: String,
    pub payload: String,
    pub attempt: u32,
    pub max_attempts: u32,
}

/// How an attempt ended.
#[derive(Debug)]
pub struct Ended {
    pub verdict: Verdict,
    pub cpu: Duration,
    /// Bytes of linear memory.
    pub peak_memory: u64,
    /// Of log lines, also of those that were cut off.
    pub log_bytes: u64,
    pub children: Vec<PreparedJob>,
    /// In the order in which it published.
    pub published: Vec<Publication>,
    /// What it logged; kept of rehearsals only.
    pub log: Vec<LogLine>,
}

#[derive(Debug)]
pub enum Verdict {
    /// JSON text.
    Completed(String),
    GuestRetry {
        message: String,
        after: Option<Duration>,
    },
    GuestPermanent(String),
    /// Inside a host call.
    Stopped(Stop),
    Trapped {
        kind: TrapKind,
        message: String,
    },
    /// The host's lack, not the guest's fault: its pool or its memory for guests is used up.
    Crowded,
    /// The host ends.
    Cancelled,
}

/// Each way in which a guest is stopped has its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapKind {
    CpuLimit,
    WallLimit,
    MemoryLimit,
    StackOverflow,
    /// A panic, or an abort.
    Unreachable,
    /// `exit` of WASI: its job has no result.
    Exit,
    /// A call of what is not there.
    NotThere,
    /// Too much passed to or returned from a host call, or text that is none.
    HostcallLimit,
    ResultTooLarge,
    ResultInvalid,
    /// Another trap of WebAssembly.
    Wasm(Trap),
}

impl TrapKind {
    /// How the names of all of them begin.
    pub const NAMES: [&str; 9] = [
        "cpu-limit",
        "wall-limit",
        "memory-limit",
        "stack-overflow",
        "trap-",
        "exit",
        "not-there",
        "hostcall-limit",
        "result-",
    ];
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CpuLimit => "cpu-limit",
            Self::WallLimit => "wall-limit",
            Self::MemoryLimit => "memory-limit",
            Self::StackOverflow => "stack-overflow",
            Self::Unreachable => "trap-unreachable",
            Self::Exit => "exit",
            Self::NotThere => "not-there",
            Self::HostcallLimit => "hostcall-limit",
            Self::ResultTooLarge => "result-too-large",
            Self::ResultInvalid => "result-invalid",
            Self::Wasm(Trap::MemoryOutOfBounds) => "trap-memory-out-of-bounds",
            Self::Wasm(Trap::TableOutOfBounds) => "trap-table-out-of-bounds",
            Self::Wasm(Trap::IndirectCallToNull) => "trap-indirect-call-to-null",
            Self::Wasm(Trap::BadSignature) => "trap-bad-signature",
            Self::Wasm(Trap::IntegerOverflow) => "trap-integer-overflow",
            Self::Wasm(Trap::IntegerDivisionByZero) => "trap-integer-division-by-zero",
            Self::Wasm(Trap::BadConversionToInteger) => "trap-bad-conversion-to-integer",
            Self::Wasm(_) => "trap-other",
        })
    }
}

/// Longest result, in bytes.
const MAX_RESULT: usize = 256 << 10;
/// Most bytes that one host call may lift out of the guest.
const HOSTCALL_FUEL: usize = 4 << 20;
/// Handles of a guest at a time, those of its own resources included: each is a row in a table of the host's.
const MAX_HANDLES: usize = 4096;

impl Runtime {
    /// Runs on the guests' threads, which guests must not leave: they compute.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(threads) = &self.threads {
            threads.spawn(work);
        }
    }

    pub fn thread_count(&self) -> usize {
        self.thread_count
    }

    /// One attempt: a fresh store, limits, the guest, its verdict. To be called from what `spawn` runs.
    pub async fn run(
        &self,
        release: &Release,
        job: JobInput,
        attempt: Arc<Attempt>,
        cancel: CancellationToken,
    ) -> Ended {
        self.run_in(World::Live(self.gate.clone()), release, job, attempt, cancel).await
    }

    /// The same with answers that are there already, and the guest's log kept.
    pub(super) async fn rehearse(
        &self,
        script: Script,
        release: &Release,
        job: JobInput,
        attempt: Arc<Attempt>,
    ) -> Ended {
        self.run_in(World::Scripted(script), release, job, attempt, CancellationToken::new()).await
    }

    async fn run_in(
        &self,
        world: World,
        release: &Release,
        job: JobInput,
        attempt: Arc<Attempt>,
        cancel: CancellationToken,
    ) -> Ended {
        let Some(limits) = release.job_type(&job.job_type).map(|job_type| job_type.limits) else {
            return nothing(Verdict::GuestPermanent("this release does not own the job type".to_owned()));
        };
        // No clock of the attempt runs while it waits.
        let admitted = tokio::select! {
            admitted = self.admission.admit(&release.needs) => admitted,
            () = cancel.cancelled() => return nothing(Verdict::Cancelled),
        };
        let Ok(_admitted) = admitted else { return nothing(Verdict::Cancelled) };
        self.attempt(world, release, limits, job, attempt, cancel).await
    }

    async fn attempt(
        &self,
        world: World,
        release: &Release,
        limits: Limits,
        job: JobInput,
        attempt: Arc<Attempt>,
        cancel: CancellationToken,
    ) -> Ended {
        let cpu = Arc::new(Cpu::default());
        let mut store = self.store(world, limits, &job, attempt, Arc::clone(&cpu));
        let input = Job {
            id: job.id.to_string(),
            job_type: job.job_type,
            tenant: job.tenant,
            payload: job.payload,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
        };
        let verdict = {
            let call = async {
                let guest = release.pre.instantiate_async(&mut store).await?;
                guest.usher_plugin_handler().call_process(&mut store, &input).await
            };
            let charged = Charged::new(call, Arc::clone(&cpu));
            tokio::select! {
                ended = tokio::time::timeout(limits.wall, charged) => ended.ok(),
                () = cancel.cancelled() => {
                    drop(input);
                    return Ended { cpu: cpu.used(), ..nothing(Verdict::Cancelled) };
                }
            }
        };
        let mut state = store.into_data();
        // A line that was not ended is one now; it may be the reason of a trap.
        state.wasi = None;
        let peak_memory = state.memory.used();
        let verdict = match verdict {
            None => trapped(TrapKind::WallLimit, format!("it ran longer than {:?}", limits.wall)),
            Some(Ok(Ok(result))) => completed(result),
            Some(Ok(Err(Failure::Retry(message)))) => Verdict::GuestRetry { message, after: None },
            Some(Ok(Err(Failure::RetryAfter(later)))) => Verdict::GuestRetry {
                message: later.message,
                after: Some(Duration::from_millis(later.delay_ms).min(MAX_LATER)),
            },
            Some(Ok(Err(Failure::Permanent(message)))) => Verdict::GuestPermanent(message),
            Some(Err(error)) => classify(&error, state.stop, &state.memory, &state.log, limits),
        };
        Ended {
            verdict,
            cpu: cpu.used(),
            peak_memory,
            log_bytes: state.log.bytes(),
            children: state.children,
            published: state.published,
            log: state.log.take_kept(),
        }
    }

    /// A fresh store. Nothing of one attempt is left for the next.
    pub(super) fn store(
        &self,
        world: World,
        limits: Limits,
        job: &JobInput,
        attempt: Arc<Attempt>,
        cpu: Arc<Cpu>,
    ) -> Store<State> {
        // A rehearsal's lines are read afterwards; those of a job are in the host's log.
        let log = if world.is_scripted() {
            GuestLog::keeping(job.id, &job.job_type)
        } else {
            GuestLog::telling(job.id, &job.job_type, &job.tenant, &self.live)
        };
        let state = State {
            attempt,
            world,
            submitter: self.submitter.clone(),
            memory: Memory::new(Arc::clone(&self.memory), limits.memory),
            cpu,
            cpu_limit: limits.cpu,
            children: Vec::new(),
            published: Vec::new(),
            parent: ChildOf { job: job.id, tenant: job.tenant.clone(), subject: job.subject.clone(), n: 0 },
            log,
            wasi: None,
            stop: None,
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            let state = store.data();
            if state.cpu.so_far() >= state.cpu_limit { Err(Halt::Cpu.into()) } else { Ok(UpdateDeadline::Yield(1)) }
        });
        store
    }
}

/// The guest's own longest postponement.
const MAX_LATER: Duration = Duration::from_secs(24 * 3600);

fn nothing(verdict: Verdict) -> Ended {
    Ended {
        verdict,
        cpu: Duration::ZERO,
        peak_memory: 0,
        log_bytes: 0,
        children: Vec::new(),
        published: Vec::new(),
        log: Vec::new(),
    }
}

fn trapped(kind: TrapKind, message: String) -> Verdict {
    Verdict::Trapped { kind, message }
}

fn completed(result: String) -> Verdict {
    if result.len() > MAX_RESULT {
        return trapped(
            TrapKind::ResultTooLarge,
            format!("it has {} bytes, at most {MAX_RESULT} are kept", result.len()),
        );
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&result) {
        Ok(_) => Verdict::Completed(result),
        Err(error) => trapped(TrapKind::ResultInvalid, format!("it is not JSON: {error}")),
    }
}

/// The host's lack, not the guest's fault.
pub(super) fn is_crowded(error: &wasmtime::Error) -> bool {
    error.is::<PoolConcurrencyLimitError>() || matches!(error.downcast_ref(), Some(Halt::Crowded))
}

/// By type, never by text: our own halts first, then traps of WebAssembly; what is left are host calls whose arguments
/// or results could not be lifted.
fn classify(error: &wasmtime::Error, stop: Option<Stop>, memory: &Memory, log: &GuestLog, limits: Limits) -> Verdict {
    match error.downcast_ref::<Halt>() {
        Some(Halt::Cpu) => return trapped(TrapKind::CpuLimit, format!("it computed longer than {:?}", limits.cpu)),
        Some(Halt::Stopped) => {
            return stop
                .map_or_else(|| trapped(TrapKind::HostcallLimit, "ended in a host call".to_owned()), Verdict::Stopped);
        }
        Some(halt @ Halt::NotThere(_)) => return trapped(TrapKind::NotThere, halt.to_string()),
        Some(Halt::Crowded) | None => {}
    }
    if is_crowded(error) {
        return Verdict::Crowded;
    }
    let last_words = || log.last_words().map(|words| format!(": {words}")).unwrap_or_default();
    if memory.denied {
        let message = format!("it asked for more than {} bytes of memory{}", limits.memory, last_words());
        return trapped(TrapKind::MemoryLimit, message);
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return trapped(TrapKind::Exit, format!("it exited with status {status}{}", last_words()));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => trapped(TrapKind::StackOverflow, "the call stack is exhausted".to_owned()),
        Some(Trap::UnreachableCodeReached) => {
            trapped(TrapKind::Unreachable, format!("it panicked or aborted{}", last_words()))
        }
        Some(trap) => trapped(TrapKind::Wasm(*trap), format!("{trap}{}", last_words())),
        None => trapped(TrapKind::HostcallLimit, error.root_cause().to_string()),
    }
}
