//! `corpus --seed N --count N`: hostile components against one running host that takes submits all the while. So many are mutations
//! of honest plugins; the named ones of `support::hostile` are among them. What is taken is given a job. The last line says what
//! came of it; exit 1 where the host panicked, kept somebody waiting, grew beyond its bound, forgot something, or said no without a
//! reason.
//!
//! From `LONG` mutations on, the run has the product's limits, its bombs among the components, and judges the submits' p99 against
//! what it was before.
//!
//! The components follow from the seed. Environment: `USHER_BIN`, `USHER_PG_BIN`, `USHER_GUESTS`, `USHER_PLUGINS`; `CORPUS_LOG` is
//! the host's log filter, `CORPUS_KEEP` keeps the folder.

#![expect(clippy::unwrap_used, reason = "a harness that cannot go on panics, and stops its children all the same")]

mod judge;
mod load;
mod mutate;
mod offer;
mod rig;
#[path = "../chaos/rng.rs"]
mod rng;
mod seeds;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;

use std::{process::ExitCode, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};

use self::{judge::Report, load::Load, rig::Rig};

/// From so many mutations on, a run is the long form.
const LONG: u64 = 500;

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    /// Mutations.
    pub count: u64,
}

impl Options {
    fn read() -> Result<Self, String> {
        let (mut seed, mut count) = (None, None);
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let place = match name.as_str() {
                "--seed" => &mut seed,
                "--count" => &mut count,
                _ => return Err(format!("unknown argument: {name}")),
            };
            let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
            *place = Some(value.parse::<u64>().map_err(|e| format!("{name} {value}: {e}"))?);
        }
        match (seed, count) {
            (Some(seed), Some(count)) => Ok(Self { seed, count }),
            _ => Err("usage: corpus --seed N --count N".to_owned()),
        }
    }

    pub fn is_long(self) -> bool {
        self.count >= LONG
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("corpus: {error}");
            return ExitCode::from(2);
        }
    };
    let rig = Arc::new(Rig::start(options).await);
    let mut term = signal(SignalKind::terminate()).unwrap();
    // A task of its own, so that a panic in it still leads to the stop below.
    let run = tokio::spawn(run(Arc::clone(&rig)));
    let report = tokio::select! {
        report = run => report.map_err(|error| error.to_string()),
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        _ = term.recv() => Err("terminated".to_owned()),
    };
    rig.stop();
    let good = match &report {
        Ok(report) => report.is_good(),
        Err(error) => {
            println!("corpus: the harness failed: {error}");
            false
        }
    };
    if good && std::env::var_os("CORPUS_KEEP").is_none() {
        let _ = std::fs::remove_dir_all(&rig.dir);
    } else {
        println!("corpus: logs and data are in {}", rig.dir.display());
    }
    if let Ok(report) = report {
        println!("{}", report.line);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(rig: Arc<Rig>) -> Report {
    let load = Load::start(&rig);
    load.alone(rig.options).await;
    rig.note("the components come");
    let offered = offer::all(&rig, &load).await;
    let submits = load.end().await;
    judge::judge(&rig, &offered, &submits).await
}
