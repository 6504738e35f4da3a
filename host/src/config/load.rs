use std::path::Path;

use figment::{
    Figment, Source,
    providers::{Env, Format, Toml},
};
use serde::de::DeserializeOwned;

use super::{Config, Secret, validate};

/// What is wrong with the configuration, each finding with its place.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

const SECTIONS: [&str; 22] = [
    "server",
    "database",
    "auth",
    "queues",
    "tenants",
    "rate_limits",
    "pressure",
    "worker",
    "cluster",
    "runtime",
    "plugins",
    "email",
    "sms",
    "push",
    "upstreams",
    "stripe",
    "solana",
    "webhooks",
    "events",
    "alerts",
    "log",
    "metrics",
];

/// Reads the file (if any), lays `USHER_SECTION__KEY` variables over it, and validates the whole. All sections are
/// read before it gives up, so that one run shows what is wrong in each.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        if !file.is_file() {
            return Err(ConfigError(vec![format!("{}: there is no such file", file.display())]));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    // Variables without a section (USHER_CACHE, say) are not configuration.
    figment = figment.merge(Env::prefixed("USHER_").filter(|key| key.as_str().contains("__")).split("__"));

    let mut findings = Vec::new();
    let mut config = Config::default();
    match figment.extract::<figment::value::Dict>() {
        Ok(all) => {
            let unknown = all.keys().filter(|key| !SECTIONS.contains(&key.as_str()));
            findings.extend(unknown.map(|key| {
                format!("{}: {key}: unknown section, expected one of {}", place(&figment, key), SECTIONS.join(", "))
            }));
        }
        Err(error) => findings.extend(error.into_iter().map(|e| describe(&e))),
    }
    section(&figment, "server", &mut config.server, &mut findings);
    section(&figment, "database", &mut config.database, &mut findings);
    section(&figment, "auth", &mut config.auth, &mut findings);
    section(&figment, "queues", &mut config.queues, &mut findings);
    section(&figment, "tenants", &mut config.tenants, &mut findings);
    section(&figment, "rate_limits", &mut config.rate_limits, &mut findings);
    section(&figment, "pressure", &mut config.pressure, &mut findings);
    section(&figment, "worker", &mut config.worker, &mut findings);
    section(&figment, "cluster", &mut config.cluster, &mut findings);
    section(&figment, "runtime", &mut config.runtime, &mut findings);
    section(&figment, "plugins", &mut config.plugins, &mut findings);
    section(&figment, "email", &mut config.email, &mut findings);
    section(&figment, "sms", &mut config.sms, &mut findings);
    section(&figment, "push", &mut config.push, &mut findings);
    section(&figment, "upstreams", &mut config.upstreams, &mut findings);
    section(&figment, "stripe", &mut config.stripe, &mut findings);
    section(&figment, "solana", &mut config.solana, &mut findings);
    section(&figment, "webhooks", &mut config.webhooks, &mut findings);
    section(&figment, "events", &mut config.events, &mut findings);
    section(&figment, "alerts", &mut config.alerts, &mut findings);
    section(&figment, "log", &mut config.log, &mut findings);
    section(&figment, "metrics", &mut config.metrics, &mut findings);
    // The name that every hosting service uses.
    if std::env::var_os("DATABASE_URL").is_some() {
        match Secret::from_env("DATABASE_URL") {
            Ok(url) => config.database.url = Some(url),
            Err(message) => findings.push(format!("DATABASE_URL: {message}")),
        }
    }
    if findings.is_empty() {
        findings.extend(validate::findings(&config));
    }
    let solana = &config.solana;
    solana.add_rates(&mut config.rate_limits);
    if findings.is_empty() { Ok(config) } else { Err(ConfigError(findings)) }
}

fn section<T: DeserializeOwned>(figment: &Figment, name: &str, into: &mut T, findings: &mut Vec<String>) {
    if figment.find_value(name).is_err() {
        return;
    }
    match figment.extract_inner::<T>(name) {
        Ok(section) => *into = section,
        Err(error) => findings.extend(error.into_iter().map(|mut error| {
            // figment appends the section that was asked for; people read it first.
            error.path.retain(|step| step != name);
            error.path.insert(0, name.to_owned());
            describe(&error)
        })),
    }
}

fn place(figment: &Figment, key: &str) -> String {
    figment.find_metadata(key).map_or_else(|| "configuration".to_owned(), source)
}

fn source(metadata: &figment::Metadata) -> String {
    match &metadata.source {
        Some(Source::File(path)) => path.display().to_string(),
        _ => metadata.name.to_string(),
    }
}

fn describe(error: &figment::Error) -> String {
    let place = error.metadata.as_ref().map_or_else(|| "configuration".to_owned(), source);
    let path = error.path.join(".");
    if path.is_empty() { format!("{place}: {}", error.kind) } else { format!("{place}: {path}: {}", error.kind) }
}
