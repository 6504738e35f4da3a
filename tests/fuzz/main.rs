//! `fuzz --cases N --seed N [--plant role|500]`: what strangers can do to a host over HTTP. First schemathesis (PyPI) over the
//! document that the host serves, with every check on; then our own list: forged tokens, bad signatures, malformed HTTP over
//! sockets, deep and odd bodies, other tenants' ids. The last line says what came of it; exit 1 where anything was let through, a
//! 5xx came, the host died, panicked, grew beyond its bound, or wrote raw into its log what a stranger had sent.
//!
//! From `LONG` cases on, a run wants 200 successes of each operation; a shorter one wants fewer, in proportion.
//!
//! Environment: `USHER_BIN`, `USHER_PG_BIN`, `USHER_GUESTS`, `USHER_PLUGINS`, `USHER_TEST_SCHEMATHESIS` (its Python); `FUZZ_KEEP`
//! keeps the folder.

#![expect(clippy::unwrap_used, reason = "a harness that cannot go on panics, and stops its children all the same")]

mod bodies;
mod document;
#[path = "../auth/forgeries.rs"]
mod forgeries;
mod generated;
mod judge;
mod report;
mod rig;
#[path = "../chaos/rng.rs"]
#[expect(dead_code, reason = "chaos uses the rest of it")]
mod rng;
mod roles;
mod signatures;
mod sockets;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;
#[path = "../roles/table.rs"]
#[expect(dead_code, reason = "the walk of the table asks as everybody")]
mod table;
mod tokens;

use std::{panic::AssertUnwindSafe, process::ExitCode, sync::Arc};

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};

use self::{document::Document, report::Report, rig::Rig};

/// From so many cases on, a run is the long form.
const LONG: u64 = 20_000;
/// Of each operation that can succeed, in the long form.
const SUCCESSES: u64 = 200;

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub cases: u64,
    pub seed: u64,
    /// A hole that the host has.
    pub plant: Option<&'static str>,
}

impl Options {
    fn read() -> Result<Self, String> {
        let (mut cases, mut seed, mut plant) = (None, None, None);
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|e| format!("{name} {value}: {e}"));
            match name.as_str() {
                "--cases" => cases = Some(number()?),
                "--seed" => seed = Some(number()?),
                "--plant" => {
                    let known = ["role", "500"].into_iter().find(|plant| *plant == value);
                    plant = Some(known.ok_or_else(|| format!("{name}: role or 500, not {value}"))?);
                }
                _ => return Err(format!("unknown argument: {name}")),
            }
        }
        match (cases, seed) {
            (Some(cases), Some(seed)) => Ok(Self { cases, seed, plant }),
            _ => Err("usage: fuzz --cases N --seed N [--plant role|500]".to_owned()),
        }
    }

    pub fn is_long(self) -> bool {
        self.cases >= LONG
    }

    /// How often each operation has to succeed.
    pub fn successes(self) -> u64 {
        (SUCCESSES * self.cases / LONG).clamp(2, SUCCESSES)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("fuzz: {error}");
            return ExitCode::from(2);
        }
    };
    let rig = Arc::new(Rig::start(options).await);
    let mut term = signal(SignalKind::terminate()).unwrap();
    // Caught, so that a panic in it still leads to the stop below.
    let run = AssertUnwindSafe(run(Arc::clone(&rig))).catch_unwind();
    let report = tokio::select! {
        report = run => report.map_err(|_| "it panicked".to_owned()),
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        _ = term.recv() => Err("terminated".to_owned()),
    };
    rig.stop();
    let good = match &report {
        Ok(report) => report.is_good(),
        Err(error) => {
            println!("fuzz: the harness failed: {error}");
            false
        }
    };
    if good && std::env::var_os("FUZZ_KEEP").is_none() {
        let _ = std::fs::remove_dir_all(&rig.dir);
    } else {
        println!("fuzz: logs and reports are in {}", rig.dir.display());
    }
    if let Ok(report) = report {
        println!("{}", report.line());
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(rig: Arc<Rig>) -> Report {
    let mut report = Report::default();
    let document = Document::fetch(&rig).await;
    roles::listed(&document, &mut report);
    let feed = rig.feed();
    rig.note("requests that schemathesis makes of the document");
    generated::all(&rig, &document, &mut report).await;
    rig.note("the same where limits are on, and where the host is short of memory");
    generated::limited(&rig, &mut report).await;
    rig.note("roles and tenants");
    roles::all(&rig, &document, &mut report).await;
    rig.note("tokens");
    tokens::all(&rig, &mut report).await;
    rig.note("signatures");
    signatures::all(&rig, &mut report).await;
    rig.note("sockets");
    sockets::all(&rig, &mut report).await;
    rig.note("bodies, strings and numbers");
    bodies::all(&rig, &document, &mut report).await;
    judge::all(&rig, feed.end().await, &mut report).await;
    report
}
