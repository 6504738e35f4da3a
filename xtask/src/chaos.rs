use std::time::Instant;

use crate::{
    guests::{self, Built},
    setup::{self, Tools},
    sh::{self, Result},
    wrk,
};

/// What is said nothing about.
const SEED: [&str; 2] = ["--seed", "1"];
const SECONDS: [&str; 2] = ["--seconds", "180"];
const SECONDS_OF_WRK: [&str; 2] = ["--seconds", "60"];

/// `cargo xtask chaos [--effects | --wrk] [--seed N] [--seconds S] …`: faults under load on three hosts, judged by counting.
pub fn run(args: &[&str]) -> Result<()> {
    let tools = setup::run(false)?;
    let built = guests::build_all(&tools)?;
    let seconds = if args.contains(&"--wrk") { SECONDS_OF_WRK } else { SECONDS };
    let mut all = args.to_vec();
    for default in [SEED, seconds] {
        if !args.contains(&default[0]) {
            all.extend(default);
        }
    }
    campaign(&tools, &built, &all)
}

/// With hosts, guests and plugins that are built. With `--effects` the hosts are others: they have failpoints.
pub fn campaign(tools: &Tools, built: &Built, args: &[&str]) -> Result<()> {
    let wrk = if args.contains(&"--wrk") { Some(wrk::setup()?) } else { None };
    let began = Instant::now();
    let host = if args.contains(&"--effects") { "usher-failpoints" } else { "usher" };
    if host == "usher-failpoints" {
        let mut cargo = sh::cargo();
        cargo.args(["build", "--quiet", "--package", "usher-host", "--features", "failpoints", "--bin", host]);
        sh::run(cargo.env("SQLX_OFFLINE", "true"))?;
    }
    let mut cargo = sh::cargo();
    cargo.args(["build", "--quiet", "--package", "usher-tests", "--bin", "chaos"]);
    sh::run(cargo.env("SQLX_OFFLINE", "true"))?;
    let mut chaos = std::process::Command::new(sh::target_dir()?.join("debug/chaos"));
    chaos
        .args(args)
        .env("USHER_BIN", sh::target_dir()?.join("debug").join(host))
        .env("USHER_PG_BIN", &tools.postgres.dir)
        .env("USHER_TEST_PYTHON", tools.python.executable())
        .env("USHER_TEST_PEERS", &tools.stripe.dir)
        .env("USHER_TEST_METAPLEX", tools.solana.metaplex())
        .env("USHER_PLUGINS", &built.plugins)
        .env("USHER_GUESTS", &built.guests);
    if let Some(wrk) = wrk {
        chaos.env("USHER_TEST_WRK", wrk);
    }
    sh::run(&mut chaos)?;
    println!("chaos took {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}
