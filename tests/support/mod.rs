//! What the tests stand on: a database each, hosts as processes, the SMTP sink, the Stripe peers, tokens.

mod acting;
pub mod cells;
mod client;
mod db;
mod fault;
pub mod fcm;
pub mod host;
pub mod hostile;
pub mod http;
pub mod minting;
mod pgbouncer;
pub mod postgres;
pub mod product;
mod proxy;
mod receiver;
pub mod services;
mod sink;
pub mod solana;
pub mod stripe;
pub mod stripe_api;
mod stripe_stand_in;
mod tls;
mod token_service;
pub mod twilio;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

pub use self::{
    acting::{Act, ActingService},
    client::{Answer, Client, SECRET, forged_token, read, token},
    db::Db,
    fault::{Fault, FaultProxy, Reply},
    fcm::Fcm,
    host::{Host, HostOptions, component, place},
    minting::MintingService,
    pgbouncer::PgBouncer,
    product::Product,
    proxy::Proxy,
    receiver::{Received, Receiver, Say},
    services::Services,
    sink::{PASSWORD, Sink, message_id},
    solana::{Cluster, Key},
    stripe::{LocalStripe, StripeClient, StripeWorld},
    stripe_stand_in::StripeStandIn,
    tls::TlsReceiver,
    token_service::TokenService,
    twilio::Twilio,
};

/// Longer than anything here takes on a busy machine of two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What `cargo xtask test` tells.
pub fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `cargo xtask test`"))
}

/// Waits for a condition, and says what it waited for when it does not come.
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, condition).await
}

pub async fn within<T>(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// A port that nobody listens at, below those that the system gives to outgoing connections: one of them could take it before
/// it is bound, or bound again.
pub fn free_port() -> u16 {
    loop {
        let port = 10_000 + u16::try_from(uuid::Uuid::new_v4().as_u128() % 22_000).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A folder of this test run, removed by the system's own rules for temporary files.
pub fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!(
        "usher-test-{}-{name}-{}",
        std::process::id(),
        uuid::Uuid::new_v4().simple()
    ));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// The built host.
pub fn usher() -> std::process::Command {
    let mut command = std::process::Command::new(env("USHER_BIN"));
    // What a developer has set for themselves must not decide a test.
    command.env_remove("DATABASE_URL").env_remove("USHER_CACHE").current_dir(std::env::temp_dir());
    command
}
