//! Logs and metrics.
//!
//! Owns: the subscriber. Static messages, dotted fields, to stderr; under --dev a file of what guests say. How often caches
//! have what they are asked for. The names, labels and text of the metrics; the rooms count.
//! Refuses: the debug lines of libraries that see secrets (passwords in SQL, mail, TLS), unless the filter names them.
//! Invariant: no log line holds a payload, a secret or an address; an event is one line, its control characters escaped; no
//! label is of more than a small set.
//! Tables: none.

mod escape;
mod guests;
mod hits;
pub mod metrics;

use std::path::Path;

use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    layer::{Identity, Layered, SubscriberExt},
    util::SubscriberInitExt,
};

use self::escape::Escaped;
pub use self::{escape::is_unsafe, hits::Hits};
use crate::config::{Log, LogFormat};

/// The file of what guests say, in the folder of plugins.
pub const GUESTS: &str = ".guests.log";

/// `log.filter = "debug"` is a wish about Usher, not about these: their own debug lines print what passes through them.
const QUIET: [&str; 11] = [
    "sqlx",
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "lettre",
    "rustls",
    "solana_rpc_client",
    "tokio_postgres",
    "wasmtime",
    "cranelift",
];

/// Installs the subscriber; a second call (tests) changes nothing.
pub fn init(config: &Log) -> Result<(), String> {
    install(config, filter(&config.filter)?, None::<Identity>);
    Ok(())
}

/// The same, and what guests say goes into a file too, whatever the filter.
pub fn init_dev(config: &Log, guests: &Path) -> Result<(), String> {
    let always = guests::ALWAYS.join(",");
    install(config, filter(&format!("{},{always}", config.filter))?, Some(guests::layer(guests)?));
    Ok(())
}

fn install<L>(config: &Log, filter: EnvFilter, further: Option<L>)
where
    L: Layer<Layered<EnvFilter, Registry>> + Send + Sync,
{
    let registry = tracing_subscriber::registry().with(filter).with(further);
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Escaped(std::io::stderr()));
    let installed = match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    // Already installed, by a test.
    let _ = installed;
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    let mut whole = QUIET
        .iter()
        .filter(|library| !text.split(',').any(|part| part.split(['=', '[']).next().map(str::trim) == Some(**library)))
        .map(|library| format!("{library}=warn"))
        .collect::<Vec<_>>();
    whole.push(text.to_owned());
    EnvFilter::try_new(whole.join(",")).map_err(|e| format!("log.filter: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_is_about_usher_and_not_about_libraries_that_see_secrets() {
        let text = filter("debug").expect("a filter").to_string();
        assert!(text.contains("lettre=warn") && text.contains("debug"), "{text}");
        let text = filter("debug,hyper_util=warn").expect("a filter").to_string();
        assert!(text.contains("hyper=warn"), "{text}");
        let text = filter("info,lettre=trace").expect("a filter").to_string();
        assert!(!text.contains("lettre=warn") && text.contains("lettre=trace"), "{text}");
        assert!(filter("usher=nonsense").is_err());
    }
}
