use std::time::Instant;

use crate::{
    guests::{self, Compiler},
    node::{self, Node},
    postgres::{self, Binaries},
    python::{self, Python},
    sh::Result,
};

/// What is there after set-up.
pub struct Tools {
    pub postgres: Binaries,
    pub compiler: Compiler,
    pub python: Python,
    pub node: Node,
}

/// Finds or installs everything; one line for each. `check_only` installs nothing.
pub fn run(check_only: bool) -> Result<Tools> {
    let began = Instant::now();
    let postgres = postgres::setup(check_only)?;
    say("postgres", &format!("{}  {}", postgres.version, postgres.dir.display()));
    let compiler = guests::setup(check_only)?;
    say("guests", &compiler.to_string());
    let python = python::setup(check_only)?;
    say("python", &format!("{}  (aiosmtpd, PostgreSQL 18)", python.dir.display()));
    let node = node::setup(check_only)?;
    say("node", &format!("{}  {}", node.version, node.dir.display()));
    println!("set up in {:.1} s", began.elapsed().as_secs_f64());
    Ok(Tools { postgres, compiler, python, node })
}

fn say(what: &str, found: &str) {
    println!("{what:10} {found}");
}
