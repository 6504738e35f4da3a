use crate::{
    guests::{self, Built},
    postgres::Server,
    setup::{self, Tools},
    sh::{self, Result},
};

/// `cargo xtask demo --all`: the ten job types, each against a peer that is not ours where there is one, and else a named stand-in.
pub fn all() -> Result<()> {
    let tools = setup::run(false)?;
    let server = Server::start(&tools.postgres.dir)?;
    println!("building the host, the plugins and the peers …");
    let built = guests::build_all(&tools)?;
    play_all(&tools, &built, &server)
}

/// With host and plugins that are built, on a server that runs.
pub fn play_all(tools: &Tools, built: &Built, server: &Server) -> Result<()> {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--quiet", "--package", "usher-tests", "--bin", "demo"]);
    sh::run(cargo.env("SQLX_OFFLINE", "true"))?;
    let mut demo = std::process::Command::new(sh::target_dir()?.join("debug/demo"));
    demo.env("USHER_BIN", sh::target_dir()?.join("debug/usher"))
        .env("USHER_TEST_PG", server.url())
        .env("USHER_TEST_PYTHON", tools.python.executable())
        .env("USHER_TEST_PEERS", &tools.stripe.dir)
        .env("USHER_TEST_SOLANA", &tools.solana.dir)
        .env("USHER_TEST_METAPLEX", tools.solana.metaplex())
        .env("USHER_PLUGINS", &built.plugins)
        .env("USHER_GUESTS", &built.guests);
    sh::run(&mut demo)
}
