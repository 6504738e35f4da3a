//! What one attempt costs the host, without queue and database: `guest_start PLUGIN [ATTEMPTS]`.
//!
//! Each attempt is what the worker does for a claimed job: `Attempt::new`, a fresh store with its limits, a fresh
//! instance, `bench-noop` with its one host call, the verdict. One thread of the guests' runtime, one after another.

use std::{env, path::Path, process::ExitCode, sync::Arc, sync::mpsc, time::Instant};

use tokio_util::sync::CancellationToken;
use usher_host::{
    config::Config,
    effects::{Attempt, Held, OnBehalf},
    ids::{JobId, Lease, Tier},
    runtime::{JobInput, Release, Runtime, Verdict, check},
};

const JOB_TYPE: &str = "bench-noop";
const ATTEMPTS: usize = 50_000;
/// Slots of the pool, branch predictors and the allocator are cold before them.
const WARM_UP: usize = 5_000;

fn main() -> ExitCode {
    // The runtime compiles in a child that is this very program.
    if env::args().nth(1).as_deref() == Some("compile-component") {
        return usher_host::cli::main();
    }
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("guest_start: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, String> {
    // `cargo bench` adds --bench.
    let mut args = env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let plugin = args.next().ok_or("which plugin?")?;
    let attempts = args.next().map_or(Ok(ATTEMPTS), |n| n.parse()).map_err(|e| format!("attempts: {e}"))?;
    let mut config = Config::default();
    config.runtime.threads = 1;
    let host = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let (runtime, release) = host.block_on(check::alone(Path::new(&plugin), &config))?;
    let (done, took) = mpsc::channel();
    let guests = Arc::clone(&runtime);
    runtime.spawn(async move {
        let _ = done.send(measure(&guests, &release, attempts).await);
    });
    let mut took = took.recv().map_err(|_| "the measuring task died")??;
    took.sort_unstable();
    let at = |share: f64| took[(took.len() as f64 * share) as usize] as f64 / 1e3;
    Ok(format!("{{\"attempts\": {attempts}, \"p50_us\": {:.2}, \"p99_us\": {:.2}}}", at(0.5), at(0.99)))
}

/// How long each attempt took, in nanoseconds.
async fn measure(runtime: &Runtime, release: &Release, attempts: usize) -> Result<Vec<u64>, String> {
    let limits = release.job_type(JOB_TYPE).ok_or("the plugin does not own bench-noop")?.limits;
    let mut took = Vec::with_capacity(attempts.max(1));
    for n in 0..WARM_UP + attempts.max(1) {
        let id = JobId::new();
        let job = JobInput {
            id,
            job_type: JOB_TYPE.to_owned(),
            tenant: "t1".to_owned(),
            subject: "bench".to_owned(),
            payload: format!("{{\"venueId\":\"v1\",\"n\":{n}}}"),
            attempt: 1,
            max_attempts: 11,
        };
        let held = Held { job: id, tier: Tier::Money, lease: Lease::random(), generation: 0, is_ending: false };
        let cancel = CancellationToken::new();
        let began = Instant::now();
        let who = OnBehalf { grants: Arc::clone(&release.grants), tenant: job.tenant.clone(), venue: None, job: id };
        let attempt = Attempt::new(held, release.digest, who, limits.effects, Vec::new());
        let ended = Box::pin(runtime.run(release, job, attempt, cancel)).await;
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if !matches!(ended.verdict, Verdict::Completed(_)) {
            return Err(format!("an attempt ended with {:?}", ended.verdict));
        }
        if n >= WARM_UP {
            took.push(nanos);
        }
    }
    Ok(took)
}
