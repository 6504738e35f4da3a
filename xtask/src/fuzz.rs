use std::{process::Command, time::Instant};

use crate::{
    guests::{self, Built},
    setup::{self, Tools},
    sh::{self, Result},
};

/// What is said nothing about.
const SEED: [&str; 2] = ["--seed", "1"];
const CASES: [&str; 2] = ["--cases", "20000"];

/// `cargo xtask fuzz [--cases N] [--seed N] [--plant role|500]`: what strangers can do to a host over HTTP.
pub fn run(args: &[&str]) -> Result<()> {
    let tools = setup::run(false)?;
    let built = guests::build_all(&tools)?;
    let mut all = args.to_vec();
    for default in [SEED, CASES] {
        if !args.contains(&default[0]) {
            all.extend(default);
        }
    }
    campaign(&tools, &built, &all)
}

/// With host, guests and plugins that are built. With `--plant` the host is another: it has holes.
pub fn campaign(tools: &Tools, built: &Built, args: &[&str]) -> Result<()> {
    let began = Instant::now();
    let host = if args.contains(&"--plant") { "usher-failpoints" } else { "usher" };
    if host == "usher-failpoints" {
        let mut cargo = sh::cargo();
        cargo.args(["build", "--quiet", "--package", "usher-host", "--features", "failpoints", "--bin", host]);
        sh::run(cargo.env("SQLX_OFFLINE", "true"))?;
    }
    let mut cargo = sh::cargo();
    cargo.args(["build", "--quiet", "--package", "usher-tests", "--bin", "fuzz"]);
    sh::run(cargo.env("SQLX_OFFLINE", "true"))?;
    let mut fuzz = Command::new(sh::target_dir()?.join("debug/fuzz"));
    fuzz.args(args)
        .env("USHER_BIN", sh::target_dir()?.join("debug").join(host))
        .env("USHER_PG_BIN", &tools.postgres.dir)
        .env("USHER_TEST_SCHEMATHESIS", tools.schemathesis.executable())
        .env("USHER_PLUGINS", &built.plugins)
        .env("USHER_GUESTS", &built.guests);
    let done = sh::run(&mut fuzz);
    // Before the last line but one of whoever reads: the campaign's own stays the last of a run that is good.
    eprintln!("the campaign took {:.0} s", began.elapsed().as_secs_f64());
    done
}
