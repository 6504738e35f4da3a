use std::{process::Command, time::Instant};

use crate::{
    guests::{self, Built},
    setup::{self, Tools},
    sh::{self, Result},
};

/// What is said nothing about.
const SEED: [&str; 2] = ["--seed", "1"];
const COUNT: [&str; 2] = ["--count", "500"];

/// `cargo xtask corpus [--seed N] [--count N]`: hostile components against one host that has other things to do.
pub fn run(args: &[&str]) -> Result<()> {
    let tools = setup::run(false)?;
    let built = guests::build_all(&tools)?;
    let mut all = args.to_vec();
    for default in [SEED, COUNT] {
        if !args.contains(&default[0]) {
            all.extend(default);
        }
    }
    campaign(&tools, &built, &all)
}

/// With host, guests and plugins that are built.
pub fn campaign(tools: &Tools, built: &Built, args: &[&str]) -> Result<()> {
    let began = Instant::now();
    let mut cargo = sh::cargo();
    cargo.args(["build", "--quiet", "--package", "usher-tests", "--bin", "corpus"]);
    sh::run(cargo.env("SQLX_OFFLINE", "true"))?;
    let mut corpus = Command::new(sh::target_dir()?.join("debug/corpus"));
    corpus
        .args(args)
        .env("USHER_BIN", sh::target_dir()?.join("debug/usher"))
        .env("USHER_PG_BIN", &tools.postgres.dir)
        .env("USHER_PLUGINS", &built.plugins)
        .env("USHER_GUESTS", &built.guests);
    sh::run(&mut corpus)?;
    println!("the corpus took {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}
