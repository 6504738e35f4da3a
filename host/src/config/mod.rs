//! Configuration: one TOML file, then `USHER_…` environment variables over it.
//!
//! Owns: the sections, their defaults, and the refusal of what is unknown, contradictory or unsafe.
//! Refuses: secrets written in the file. They come from the environment or from a file (`Secret`).
//! Invariant: a `Config` that exists has been validated; no room checks it again.
//! Tables: none.

mod alerts;
mod auth;
mod cluster;
mod database;
mod dev;
mod dkim;
mod email;
mod events;
mod google;
mod load;
mod log;
mod metrics;
mod plugins;
mod pressure;
mod push;
mod queues;
mod rate_limits;
mod runtime;
mod secret;
mod server;
mod services;
mod sms;
mod solana;
mod stripe;
mod tenants;
mod upstreams;
mod validate;
mod webhooks;
mod worker;

use serde::{Deserialize, Serialize};

use self::rate_limits::PROVIDERS;
pub use self::{
    alerts::{AlertMail, AlertRule, Alerts, LONGEST_SILENCE, Rule, RuleKind, Severity, Unit},
    auth::{Algorithm, Auth, Issuer, Jwks, OptionalAuth, RSA_BITS},
    cluster::Cluster,
    database::{Database, Pooler, SynchronousCommit},
    dev::DEV_ISSUER,
    dkim::Dkim,
    email::{Email, EmailProfile, OnDoubt, SmtpSecurity},
    events::Events,
    google::{Google, ServiceAccount},
    load::{ConfigError, load},
    log::{Log, LogFormat},
    metrics::{Metrics, MetricsAuth},
    plugins::{GrantSet, Plugins, Quarantine, RequireVerify, TrustedKey},
    pressure::Pressure,
    push::{Push, PushAdapter, PushProfile},
    queues::{Backoff, Queue, Queues},
    rate_limits::{MOST, Rate, RateLimit, RateLimits, check_bucket},
    runtime::Runtime,
    secret::Secret,
    server::Server,
    services::Services,
    sms::{Sms, SmsAdapter, SmsProfile},
    solana::{Solana, SolanaCommitment, SolanaEndpoint, SolanaProfile, TokenStandard},
    stripe::{Stripe, StripeJob, StripeMode, StripeProfile},
    tenants::{Tenant, Tenants},
    upstreams::{Basic, Breaker, FixedHeader, Method, SignatureKey, Upstream, Upstreams},
    webhooks::Webhooks,
    worker::Worker,
};

/// The whole configuration, one field a section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub auth: Auth,
    pub queues: Queues,
    pub tenants: Tenants,
    pub rate_limits: RateLimits,
    pub pressure: Pressure,
    pub worker: Worker,
    pub cluster: Cluster,
    pub runtime: Runtime,
    pub plugins: Plugins,
    pub email: Email,
    pub sms: Sms,
    pub push: Push,
    pub upstreams: Upstreams,
    pub stripe: Stripe,
    pub solana: Solana,
    pub webhooks: Webhooks,
    pub events: Events,
    pub alerts: Alerts,
    pub log: Log,
    pub metrics: Metrics,
}

impl Config {
    /// What `usher serve` demands beyond a sound file: somebody who can sign, and a database.
    pub fn require_safe(&self) -> Result<(), ConfigError> {
        let findings = validate::unsafe_to_serve(self);
        if findings.is_empty() { Ok(()) } else { Err(ConfigError(findings)) }
    }
}

#[cfg(test)]
mod tests;
