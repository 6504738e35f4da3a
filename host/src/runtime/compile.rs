use std::{
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    sync::Semaphore,
};

use super::engine;
use crate::config::Runtime as Settings;

/// Largest component, in bytes.
pub const MAX_COMPONENT: usize = 32 << 20;
/// Largest compiled form that is taken from the child.
const MAX_ARTIFACT: u64 = 256 << 20;
/// Of the child's last words.
const MAX_WORDS: u64 = 4 << 10;

#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("has {size} bytes, at most {MAX_COMPONENT} are allowed")]
    TooLarge { size: usize },
    #[error("compiling it needs more memory than runtime.compile_memory allows")]
    Memory,
    #[error("compiling it takes longer than runtime.compile_cpu allows")]
    Time,
    #[error("is not accepted by the compiler: {0}")]
    Refused(String),
    #[error("the compiling child failed: {0}")]
    Child(String),
}

impl CompileError {
    /// For `refusals.reason`.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::Memory => "compile-memory",
            Self::Time => "compile-time",
            Self::Refused(_) => "compile-error",
            Self::Child(_) => "compile-failed",
        }
    }
}

/// Compiles in a child process with limits of its own: a small component can make the compiler ask for tens of
/// gigabytes, and an allocation that fails aborts its process. One at a time.
pub(super) struct Compiler {
    turn: Semaphore,
    memory: u64,
    cpu: Duration,
}

impl Compiler {
    pub fn new(settings: &Settings) -> Self {
        Self { turn: Semaphore::new(1), memory: settings.compile_memory, cpu: settings.compile_cpu }
    }

    pub async fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        if wasm.len() > MAX_COMPONENT {
            return Err(CompileError::TooLarge { size: wasm.len() });
        }
        let failed = |what: &str| CompileError::Child(what.to_owned());
        let _turn = self.turn.acquire().await.map_err(|_| failed("the host ends"))?;
        // This very binary, also after a new one was installed over it; and nothing of our environment.
        let mut child = Command::new("/proc/self/exe")
            .arg("compile-component")
            .arg(format!("--memory={}", self.memory))
            .arg(format!("--cpu={}", self.cpu.as_secs().max(1)))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(&e.to_string()))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("it has no pipes"));
        };
        let mut artifact = Vec::new();
        let mut words = Vec::new();
        let work = async {
            let write = async {
                // A child that ended early says why by its status.
                let _ = stdin.write_all(wasm).await;
                drop(stdin);
            };
            // Each pipe is closed when enough was read of it: a child with more to say must not wait for a reader.
            let out = async {
                let mut pipe = stdout.take(MAX_ARTIFACT + 1);
                pipe.read_to_end(&mut artifact).await
            };
            let err = async {
                let mut pipe = stderr.take(MAX_WORDS);
                pipe.read_to_end(&mut words).await
            };
            let (_, out, err) = tokio::join!(write, out, err);
            out?;
            err?;
            child.wait().await
        };
        // CPU time is the child's own limit; this is for a child that waits, and it gives way to all else on the machine.
        let patience = self.cpu * 6 + Duration::from_secs(60);
        let status = tokio::time::timeout(patience, work)
            .await
            .map_err(|_| failed("it did not get the processor for long enough"))?
            .map_err(|e| failed(&e.to_string()))?;
        if artifact.len() as u64 > MAX_ARTIFACT {
            return Err(CompileError::Refused(format!("its compiled form has more than {} MiB", MAX_ARTIFACT >> 20)));
        }
        if status.success() { Ok(artifact) } else { Err(reason(status, &String::from_utf8_lossy(&words))) }
    }
}

/// Exit code of a child whose compiler said no.
const REFUSED: u8 = 3;
/// Exit code of a Rust program that panicked. A compiler that trips over some bytes trips over them again.
const PANICKED: i32 = 101;

fn reason(status: ExitStatus, words: &str) -> CompileError {
    // Signal numbers are those of Linux.
    match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(REFUSED) => CompileError::Refused(words.trim().to_owned()),
        (Some(PANICKED), _) => CompileError::Refused(format!("it panicked: {}", words.trim())),
        // Rust aborts when an allocation fails; a stack that cannot grow is a fault.
        (_, Some(6 | 11)) => CompileError::Memory,
        (_, Some(24)) => CompileError::Time,
        // A kill (9) is somebody else's doing: a machine without memory, an operator. It says nothing of the bytes.
        _ => CompileError::Child(format!("{status}: {}", words.trim())),
    }
}

/// The child: limits first, then the input.
#[expect(clippy::print_stderr, reason = "the parent reads it")]
pub fn child_main(memory: u64, cpu_secs: u64) -> ExitCode {
    let limit = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    let limited = setrlimit(Resource::Data, limit(memory))
        // The soft limit's signal ends us; the hard one is for a process that ignores it.
        .and_then(|()| setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_secs), maximum: Some(cpu_secs + 1) }))
        .and_then(|()| setrlimit(Resource::Core, limit(0)))
        .and_then(|()| nice(10).map(drop));
    if let Err(error) = limited {
        eprintln!("cannot set limits: {error}");
        return ExitCode::FAILURE;
    }
    let compiled = || -> Result<(), String> {
        let mut wasm = Vec::new();
        std::io::stdin().take(MAX_COMPONENT as u64 + 1).read_to_end(&mut wasm).map_err(|e| e.to_string())?;
        let engine = engine::compiling().map_err(|e| e.to_string())?;
        let artifact = engine.precompile_component(&wasm).map_err(|e| format!("{e:#}"))?;
        std::io::stdout().write_all(&artifact).map_err(|e| e.to_string())
    };
    match compiled() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Names in it are the component's, and may be long.
            eprintln!("{}", message.chars().take(2_000).collect::<String>());
            ExitCode::from(REFUSED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_the_child_ended_says_whose_fault_it_was() {
        let ended = |raw: i32| reason(ExitStatus::from_raw(raw), "words\n");
        let code = |code: i32| ended(code << 8);
        assert!(matches!(code(i32::from(REFUSED)), CompileError::Refused(words) if words == "words"));
        assert!(matches!(code(PANICKED), CompileError::Refused(words) if words.contains("panicked")));
        assert!(matches!(code(1), CompileError::Child(_)), "of its limits, before it saw a byte");
        assert!(matches!(ended(6), CompileError::Memory));
        assert!(matches!(ended(24), CompileError::Time));
        assert!(matches!(ended(9), CompileError::Child(_)), "killed from outside: no fault of the bytes");
    }
}
