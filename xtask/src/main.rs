//! `cargo xtask setup | plugins | test | demo | bench | sqlx`: everything that a fresh machine needs, and everything CI runs.

mod bench;
mod chaos;
mod clients;
mod corpus;
mod debian;
mod demo;
mod fuzz;
mod guests;
mod json;
mod languages;
mod node;
mod pgbouncer;
mod postgres;
mod promtool;
mod python;
mod setup;
mod sh;
mod solana;
mod sqlx;
mod stripe;
mod test;
mod tutorial;
mod wrk;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask setup [--check]        find or install what is missing
cargo xtask plugins                build the plugins, and the tests' guests
cargo xtask test [FILTER...]       all that CI runs; filters narrow the integration tests
                                   (USHER_REPLAYED=1000: at least so many recorded jobs of the ten types are replayed;
                                   USHER_IMPORTED=10000: so many jobs and keys come over from pg-boss)
cargo xtask demo [--once]          the main job, on an embedded Postgres, by a host without Solana
cargo xtask demo --all             all ten job types, against real peers and named stand-ins
cargo xtask tutorial               the commands of docs/plugin-authors.md, as an outsider would type them
cargo xtask chaos [--seed N] [--seconds S] [--jobs N]
                                   faults under load on three hosts, judged by counting
cargo xtask chaos --wrk …           the same for 60 s, and wrk at the hosts' doors: no 5xx but the documented 503
cargo xtask chaos --effects [--seed N] [--seconds S] [--plant attempt-key|no-fence|early-doubt]
                                   the same for effects, counted at the providers; --plant: hosts with an error, to be found
cargo xtask corpus [--seed N] [--count N]
                                   hostile components against a host at work; 500 and more are judged by what submits notice
cargo xtask fuzz [--cases N] [--seed N] [--plant role|500]
                                   strangers at the door: schemathesis, then forgeries, sockets, bodies; 20,000 cases and more
cargo xtask clients [--check]      generate the clients anew from the document of the API; or only look whether they are
cargo xtask bench [--json] [ROW…]  measure, beside the peers; all rows or those named
cargo xtask sqlx                   refresh host/.sqlx after a change of SQL
cargo xtask sqlx freeze            keep a released version's statements in tests/compat";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["setup"] => setup::run(false).map(drop),
        ["setup", "--check"] => setup::run(true).map(drop),
        ["plugins"] => setup::run(false).and_then(|tools| guests::build_all(&tools)).map(drop),
        ["test", filters @ ..] => test::run(filters),
        ["demo"] => demo::run(false),
        ["demo", "--once"] => demo::run(true),
        ["demo", "--all"] => demo::all(),
        ["tutorial"] => tutorial::run(None),
        ["chaos", args @ ..] => chaos::run(args),
        ["corpus", args @ ..] => corpus::run(args),
        ["fuzz", args @ ..] => fuzz::run(args),
        ["clients"] => clients::run(false),
        ["clients", "--check"] => clients::run(true),
        ["bench", "--json", rows @ ..] => bench::run(true, rows),
        ["bench", rows @ ..] => bench::run(false, rows),
        ["sqlx", "freeze"] => sqlx::freeze(),
        ["sqlx"] => setup::run(false).and_then(|tools| sqlx::refresh(&tools)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sh::Failure::Missing(message)) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
        Err(sh::Failure::Failed(message)) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
