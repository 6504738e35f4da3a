use std::time::Instant;

use crate::{
    guests::{self, Built},
    setup::{self, Tools},
    sh::{self, Result},
};

/// `cargo xtask chaos [--seed N] [--seconds S] [--jobs N]`: faults under load on three hosts, judged by counting.
pub fn run(args: &[&str]) -> Result<()> {
    let tools = setup::run(false)?;
    let built = guests::build_all(&tools)?;
    campaign(&tools, &built, args)
}

/// With hosts, guests and plugins that are built.
pub fn campaign(tools: &Tools, built: &Built, args: &[&str]) -> Result<()> {
    let began = Instant::now();
    let mut cargo = sh::cargo();
    cargo.args(["build", "--quiet", "--package", "usher-tests", "--bin", "chaos"]);
    sh::run(cargo.env("SQLX_OFFLINE", "true"))?;
    let mut chaos = std::process::Command::new(sh::target_dir()?.join("debug/chaos"));
    chaos
        .args(args)
        .env("USHER_BIN", sh::target_dir()?.join("debug/usher"))
        .env("USHER_PG_BIN", &tools.postgres.dir)
        .env("USHER_TEST_PYTHON", tools.python.executable())
        .env("USHER_TEST_PEERS", &tools.stripe.dir)
        .env("USHER_PLUGINS", &built.plugins)
        .env("USHER_GUESTS", &built.guests);
    sh::run(&mut chaos)?;
    println!("chaos took {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}
