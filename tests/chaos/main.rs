//! `chaos --seed N --seconds S [--jobs N] [--rate N] [--wrk]`: three hosts on one PostgreSQL under load, while everything around
//! them breaks; then every acknowledged job and every effect is counted. The last line says what came of it. With `--wrk`, wrk is
//! at the hosts' doors as well; see `wrk`.
//!
//! `chaos --effects --seed N --seconds S [--rate N] [--plant NAME]`: the same for what jobs do to the world, counted at the
//! providers; see `effects`.
//!
//! The faults and the jobs follow from the seed; their exact moments depend on the machine. Environment: `USHER_BIN`,
//! `USHER_PG_BIN`, `USHER_GUESTS`, `USHER_PLUGINS`, for `--wrk` also `USHER_TEST_WRK`; `CHAOS_LOG` is the hosts' log filter,
//! `CHAOS_KEEP` keeps the folder.

#![expect(clippy::unwrap_used, reason = "a harness that cannot go on panics, and stops its children all the same")]

mod acks;
mod check;
mod database;
mod effects;
mod faults;
mod hosts;
mod ledger;
mod load;
mod proxy;
mod rig;
mod rng;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;
mod wrk;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use self::{rig::Rig, wrk::Wrk};

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    pub seconds: u64,
    /// Ends the load before its time.
    pub jobs: Option<u64>,
    /// Submits a second.
    pub rate: Option<u64>,
    /// The providers break, and what is counted is theirs.
    pub effects: bool,
    /// An error that the hosts shall have.
    pub plant: Option<&'static str>,
    /// wrk asks for this and that beside the load.
    pub wrk: bool,
}

const USAGE: &str = "usage: chaos --seed N --seconds S [--jobs N] [--rate N] [--wrk] | chaos --effects --seed N --seconds S [--rate N] [--plant NAME]";

impl Options {
    fn read() -> Result<Self, String> {
        let (mut seed, mut seconds, mut jobs, mut rate) = (None, None, None, None);
        let (mut effects, mut plant, mut wrk) = (false, None, false);
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let place = match name.as_str() {
                "--effects" => {
                    effects = true;
                    continue;
                }
                "--wrk" => {
                    wrk = true;
                    continue;
                }
                "--plant" => {
                    let wanted = arguments.next().unwrap_or_default();
                    let known = effects::PLANTS.into_iter().find(|known| *known == wanted);
                    plant = Some(known.ok_or_else(|| format!("--plant is one of {:?}", effects::PLANTS))?);
                    continue;
                }
                "--seed" => &mut seed,
                "--seconds" => &mut seconds,
                "--jobs" => &mut jobs,
                "--rate" => &mut rate,
                _ => return Err(format!("unknown argument: {name}")),
            };
            let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
            *place = Some(value.parse::<u64>().map_err(|e| format!("{name} {value}: {e}"))?);
        }
        match (seed, seconds) {
            (Some(seed), Some(seconds)) if (effects || plant.is_none()) && !(effects && wrk) => {
                Ok(Self { seed, seconds, jobs, rate, effects, plant, wrk })
            }
            _ => Err(USAGE.to_owned()),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("chaos: {error}");
            return ExitCode::from(2);
        }
    };
    if options.effects {
        let rig = Arc::new(effects::Rig::new(options).await);
        let (dir, run) = (rig.dir.clone(), effects::run(Arc::clone(&rig)));
        campaign(&dir, run, || rig.stop_all()).await
    } else {
        let rig = Arc::new(Rig::new(options).await);
        let (dir, run) = (rig.dir.clone(), run(Arc::clone(&rig)));
        campaign(&dir, run, || rig.stop_all()).await
    }
}

/// To its end, or to a signal's; what it started is stopped in any case.
async fn campaign(
    dir: &Path,
    run: impl Future<Output = check::Report> + Send + 'static,
    stop: impl FnOnce(),
) -> ExitCode {
    let mut term = signal(SignalKind::terminate()).unwrap();
    // A task of its own, so that a panic in it still leads to the stop below.
    let run = tokio::spawn(run);
    let report = tokio::select! {
        report = run => report.map_err(|error| error.to_string()),
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        _ = term.recv() => Err("terminated".to_owned()),
    };
    stop();
    let good = match &report {
        Ok(report) => report.is_good(),
        Err(error) => {
            println!("chaos: the harness failed: {error}");
            false
        }
    };
    if good && std::env::var_os("CHAOS_KEEP").is_none() {
        let _ = std::fs::remove_dir_all(dir);
    } else {
        println!("chaos: logs and data are in {}", dir.display());
    }
    if let Ok(report) = report {
        println!("{}", report.line);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(rig: Arc<Rig>) -> check::Report {
    rig.start().await;
    let wrk = if rig.options.wrk { Some(Wrk::start(&rig).await) } else { None };
    let done = Arc::new(tokio::sync::Notify::new());
    let load = tokio::spawn(load::run(Arc::clone(&rig)));
    let faults = tokio::spawn(faults::run(Arc::clone(&rig), Arc::clone(&done)));
    let watch = tokio::spawn(progress(Arc::clone(&rig)));
    let mut loading = load.await.unwrap();
    let heard = match wrk {
        Some(wrk) => Some(wrk.stop().await),
        None => None,
    };
    done.notify_one();
    let counts = faults.await.unwrap();
    // No more faults: the submits that are still open must come through now.
    let drained = async { while loading.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(60), drained).await.is_err() {
        rig.note(&format!("{} submits were never acknowledged", loading.len()));
        loading.abort_all();
    }
    if heard.is_some() {
        // What a host had read of a caller who hung up may still be written, and nobody waits for that.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    check::settle(&rig).await;
    watch.abort();
    check::judge(&rig, &counts, heard.as_ref()).await
}

/// A line now and then, for who watches.
async fn progress(rig: Arc<Rig>) {
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let archived = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM jobs_archive").fetch_one(&rig.db).await;
        let live = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM jobs").fetch_one(&rig.db).await;
        let show = |n: sqlx::Result<i64>| n.map_or("?".to_owned(), |n| n.to_string());
        rig.note(&format!("acknowledged {}, live {}, archived {}", rig.acks.count(), show(live), show(archived)));
    }
}
