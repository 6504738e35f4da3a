use std::time::Instant;

use crate::{
    guests,
    postgres::Server,
    setup,
    sh::{self, Result},
    sqlx,
};

/// All that CI runs, stage by stage; the integration tests come last, so that their runner has the last word.
pub fn run(filters: &[&str]) -> Result<()> {
    let began = Instant::now();
    let tools = stage("set-up", || setup::run(false))?;
    let server = stage("start PostgreSQL", || Server::of_tests(&tools.postgres.dir))?;
    let newest = match tools.python.postgres18() {
        Some(bin) => Some(stage("start PostgreSQL 18", || Server::of_tests(&bin))?),
        None => None,
    };
    if filters.is_empty() {
        stage("format", || sh::run(sh::cargo().args(["fmt", "--all", "--check"])))?;
        stage("lints and SQL", || {
            let mut clippy = sh::cargo();
            clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
            sqlx::checked(&tools, &server, &mut clippy)
        })?;
    }
    let built = stage("build host, plugins, guests", || guests::build_all(&tools))?;
    if filters.is_empty() {
        stage("clients are as generated", || crate::clients::check(&tools.clients))?;
        // Where the guests are built: std and what plugins stand on is there.
        let target = sh::target_dir()?.join("wasm");
        stage("tutorial", || crate::tutorial::run(Some(&target)))?;
        stage("plugins' own tests", || {
            let target = sh::target_dir()?.join("plugins-native");
            let mut cargo = sh::cargo();
            cargo.current_dir(sh::root().join("plugins")).env("CARGO_TARGET_DIR", target);
            sh::run(cargo.args(["test", "--quiet", "--workspace", "--locked"]))
        })?;
        stage("unit tests", || {
            sh::run(
                sh::cargo()
                    .args(["test", "--quiet", "--package", "usher-host", "--package", "xtask"])
                    .env("SQLX_OFFLINE", "true"),
            )
        })?;
    }
    if filters.is_empty() {
        // Its host is another; what comes after it wants the whole one in its place again.
        stage("demo", || crate::demo::run(true).and_then(|()| guests::build_usher()).map(drop))?;
        stage("demo --all", || crate::demo::play_all(&tools, &built, &server))?;
        stage("chaos, 30 s", || crate::chaos::campaign(&tools, &built, &["--seed", "1", "--seconds", "30"]))?;
        stage("effects chaos, 60 s", || {
            crate::chaos::campaign(&tools, &built, &["--effects", "--seed", "1", "--seconds", "60"])
        })?;
        stage("fuzz, 2,000 cases", || crate::fuzz::campaign(&tools, &built, &["--seed", "1", "--cases", "2000"]))?;
        stage("hostile corpus, 50", || crate::corpus::campaign(&tools, &built, &["--seed", "1", "--count", "50"]))?;
    }
    let mut tests = sh::cargo();
    tests
        .args(["test", "--package", "usher-tests"])
        .arg("--")
        .args(filters)
        .arg("--test-threads=3")
        .env("SQLX_OFFLINE", "true")
        .env("USHER_BIN", sh::target_dir()?.join("debug/usher"))
        .env("USHER_TEST_PG", server.url())
        .env("USHER_PG_BIN", &tools.postgres.dir)
        .env("USHER_TEST_PYTHON", tools.python.executable())
        .env("USHER_TEST_NODE", &tools.node.dir)
        .env("USHER_TEST_JS", &tools.node.toolchain)
        .env("USHER_TEST_PY", &tools.componentize.dir)
        .env("USHER_TEST_CLIENTS_NODE", &tools.clients.node)
        .env("USHER_TEST_CLIENTS_PYTHON", tools.clients.python.executable())
        .env("USHER_TEST_PEERS", &tools.stripe.dir)
        .env("USHER_TEST_SOLANA", &tools.solana.dir)
        .env("USHER_TEST_METAPLEX", tools.solana.metaplex())
        .env("USHER_TEST_PGBOUNCER", &tools.pgbouncer)
        .env("USHER_TEST_PROMTOOL", &tools.promtool)
        .env("USHER_PLUGINS", &built.plugins)
        .env("USHER_GUESTS", &built.guests);
    if let Some(newest) = &newest {
        tests.env("USHER_TEST_PG18", newest.url());
    }
    println!("── integration tests (after {:.0} s)", began.elapsed().as_secs_f64());
    let done = sh::run(&mut tests);
    if done.is_err() {
        // A server that went down fails tests that have nothing to do with it.
        for line in server.last_words().iter().chain(&newest.map(|newest| newest.last_words()).unwrap_or_default()) {
            println!("PostgreSQL said: {line}");
        }
    }
    done
}

fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("── {name}");
    let began = Instant::now();
    let done = work();
    println!("── {name}: {} in {:.1} s", if done.is_ok() { "ok" } else { "FAILED" }, began.elapsed().as_secs_f64());
    done
}
