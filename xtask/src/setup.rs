use std::{path::PathBuf, time::Instant};

use crate::{
    clients::{self, Clients},
    guests::{self, Compiler},
    node::{self, Node},
    pgbouncer,
    postgres::{self, Binaries},
    promtool,
    python::{self, Python},
    sh::Result,
    solana::{self, Solana},
    stripe::{self, Stripe},
};

/// What is there after set-up.
pub struct Tools {
    pub postgres: Binaries,
    pub compiler: Compiler,
    pub python: Python,
    /// Has componentize-py.
    pub componentize: Python,
    pub schemathesis: Python,
    pub node: Node,
    pub clients: Clients,
    pub pgbouncer: PathBuf,
    pub promtool: PathBuf,
    pub stripe: Stripe,
    pub solana: Solana,
}

/// Finds or installs everything; one line for each. `check_only` installs nothing.
pub fn run(check_only: bool) -> Result<Tools> {
    let began = Instant::now();
    let postgres = postgres::setup(check_only)?;
    say("postgres", &format!("{}  {}", postgres.version, postgres.dir.display()));
    let compiler = guests::setup(check_only)?;
    say("guests", &compiler.to_string());
    let python = python::setup(check_only)?;
    say("python", &format!("{}  (aiosmtpd, localstripe, LiteSVM, PostgreSQL 18)", python.dir.display()));
    let componentize = python::toolchain(check_only)?;
    say("plugins", &format!("{}  (componentize-py)", componentize.dir.display()));
    let schemathesis = python::schemathesis(check_only)?;
    say("fuzz", &format!("{}  (schemathesis)", schemathesis.dir.display()));
    let node = node::setup(check_only)?;
    say("node", &format!("{}  {}", node.version, node.dir.display()));
    say("plugins", &format!("{}  (componentize-qjs, TypeScript)", node.toolchain.display()));
    let clients = clients::setup(check_only)?;
    say("clients", &format!("{}  (openapi-typescript)", clients.node.display()));
    say("clients", &format!("{}  (openapi-python-client)", clients.python.dir.display()));
    let pgbouncer = pgbouncer::setup(check_only)?;
    say("pgbouncer", &pgbouncer.display().to_string());
    let promtool = promtool::setup(check_only)?;
    say("promtool", &promtool.display().to_string());
    let stripe = stripe::setup(check_only, &python)?;
    say("stripe", &format!("{}  (Stripe World, Stripe's API)", stripe.dir.display()));
    let solana = solana::setup(check_only, &python)?;
    say("solana", &format!("{}  (Metaplex, wallets' libraries)", solana.dir.display()));
    println!("set up in {:.1} s", began.elapsed().as_secs_f64());
    Ok(Tools {
        postgres,
        compiler,
        python,
        componentize,
        schemathesis,
        node,
        clients,
        pgbouncer,
        promtool,
        stripe,
        solana,
    })
}

fn say(what: &str, found: &str) {
    println!("{what:10} {found}");
}
