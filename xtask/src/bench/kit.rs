use std::{cell::RefCell, env, path::PathBuf};

use super::{
    postgres::Postgres,
    report::{self, say},
};
use crate::{
    guests, postgres,
    sh::{self, Failure, OrFail, Result},
};

/// How often each row is measured; the median counts.
const REPEATS: usize = 3;

/// What all rows share.
pub struct Kit {
    pub postgres: Postgres,
    pub usher: PathBuf,
    /// The plugin that the measured jobs belong to.
    pub plugin: PathBuf,
    /// The hosts' folders lie here.
    pub dir: PathBuf,
    pub machine: String,
    rows: Vec<String>,
    scale: f64,
    complaints: RefCell<Vec<String>>,
}

impl Kit {
    pub fn make(rows: &[&str]) -> Result<Self> {
        let scale = scale()?;
        let binaries = postgres::setup(false)?;
        let usher = host()?;
        let dir = sh::target_dir()?.join("bench");
        let plugins = dir.join("plugins");
        pack(&usher, "bench/guest", &plugins)?;
        let machine = report::machine(&binaries.version);
        Ok(Self {
            postgres: Postgres::start(binaries.dir)?,
            usher,
            plugin: plugins.join("bench.wasm"),
            dir,
            machine,
            rows: rows.iter().map(|&row| row.to_owned()).collect(),
            scale,
            complaints: RefCell::default(),
        })
    }

    pub fn wants(&self, row: &str) -> bool {
        self.rows.iter().any(|wanted| wanted == row)
    }

    /// A number of jobs, or of seconds, as `USHER_BENCH_SCALE` has it; never below `least`.
    pub fn scaled(&self, full: u64, least: u64) -> u64 {
        ((full as f64 * self.scale) as u64).max(least)
    }

    /// What is measured is what people may quote.
    pub fn full_size(&self) -> bool {
        self.scale >= 1.0
    }

    /// A figure came out, but not of the measurement that was wanted: the command will fail, once all rows are shown.
    pub fn complain(&self, text: impl Into<String>) {
        self.complaints.borrow_mut().push(text.into());
    }

    pub fn complaints(&self) -> String {
        self.complaints.borrow().join("\n")
    }

    /// The guests of the tests, for a row that needs one of them.
    pub fn test_guests(&self) -> Result<PathBuf> {
        let into = self.dir.join("guests");
        pack(&self.usher, "tests/guests", &into)?;
        Ok(into)
    }
}

/// Measures three times, each time all of `runs` one after another: what else the machine does hits all alike. The
/// figures come back by run.
pub fn alternate<T>(runs: &[&dyn Fn() -> Result<T>]) -> Result<Vec<Vec<T>>> {
    let mut figures: Vec<Vec<T>> = runs.iter().map(|_| Vec::new()).collect();
    for _ in 0..REPEATS {
        for (run, figures) in runs.iter().zip(&mut figures) {
            figures.push(run()?);
        }
    }
    Ok(figures)
}

/// The host as it is shipped, or the one that `USHER_BENCH_BIN` names.
fn host() -> Result<PathBuf> {
    if let Some(named) = env::var_os("USHER_BENCH_BIN").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(named);
        say(&format!("measuring {} (USHER_BENCH_BIN)", path.display()));
        return match path.canonicalize() {
            Ok(path) => Ok(path),
            Err(e) => Err(Failure::Missing(format!("USHER_BENCH_BIN: {}: {e}", path.display()))),
        };
    }
    say("building the host in release …");
    sh::run(sh::cargo().args(["build", "--release", "--package", "usher-host"]).env("SQLX_OFFLINE", "true"))?;
    Ok(sh::target_dir()?.join("release/usher"))
}

/// One workspace of guests, by its build.list.
fn pack(usher: &std::path::Path, workspace: &str, into: &std::path::Path) -> Result<()> {
    guests::build(&guests::setup(false)?, usher, &sh::root().join(workspace), into)
}

fn scale() -> Result<f64> {
    let Some(text) = env::var("USHER_BENCH_SCALE").ok().filter(|text| !text.is_empty()) else { return Ok(1.0) };
    let scale: f64 = text.parse().or_fail("USHER_BENCH_SCALE")?;
    if scale.is_finite() && scale > 0.0 {
        say(&format!("everything times {scale} (USHER_BENCH_SCALE): not figures to quote"));
        return Ok(scale);
    }
    sh::failed("USHER_BENCH_SCALE must be above 0")
}
