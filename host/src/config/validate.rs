use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use super::{Algorithm, Config, EmailProfile, GrantSet, Issuer, Pooler, SmtpSecurity, Upstream};

/// What no single value shows: contradictions, and what is unsafe.
pub(super) fn findings(config: &Config) -> Vec<String> {
    let mut out = Vec::new();
    database(config, &mut out);
    cluster(config, &mut out);
    for (n, issuer) in config.auth.issuers.iter().enumerate() {
        issuer_is_sound(issuer, &format!("auth.issuers.{n} ({})", issuer.name), &mut out);
    }
    let names: BTreeSet<_> = config.auth.issuers.iter().map(|issuer| &issuer.name).collect();
    if names.len() < config.auth.issuers.len() {
        out.push("auth.issuers: two issuers share a name".to_owned());
    }
    queues(config, &mut out);
    tenants(config, &mut out);
    for (name, profile) in &config.email.profiles {
        email(profile, &format!("email.profiles.{name}"), &mut out);
    }
    for (name, upstream) in &config.upstreams {
        upstream_is_sound(upstream, &format!("upstreams.{name}"), &mut out);
    }
    for (plugin, grants) in &config.plugins.policy {
        policy(config, grants, &format!("plugins.policy.{plugin}"), &mut out);
    }
    bounds(config, &mut out);
    out
}

/// What `usher serve` demands beyond a sound file.
pub(super) fn unsafe_to_serve(config: &Config) -> Vec<String> {
    let mut out = Vec::new();
    if config.auth.issuers.is_empty() {
        out.push(
            "auth.issuers: nobody could sign a token, and there is no default secret. Make one and name it:\n\
             \x20   openssl rand -base64 48 > jwt-secret && chmod 600 jwt-secret\n\
             \x20   [[auth.issuers]]\n\
             \x20   name = \"main\"\n\
             \x20   algorithm = \"HS256\"\n\
             \x20   secret = { file = \"jwt-secret\" }\n\
             or, to try Usher out, run `usher serve --dev`, which makes one for you"
                .to_owned(),
        );
    }
    if config.database.url.is_none() {
        out.push(
            "database.url: no database is named. Set DATABASE_URL, or run `usher serve --dev`, which starts a private one"
                .to_owned(),
        );
    }
    out
}

fn database(config: &Config, out: &mut Vec<String>) {
    let d = &config.database;
    if d.pooler == Pooler::Transaction && d.direct_url.is_none() {
        out.push(
            "database.direct_url: is missing, and database.pooler is \"transaction\". Migrations and LISTEN need a session of their own: name the server itself, past the pooler"
                .to_owned(),
        );
    }
    if d.url.is_none() && (d.pooler == Pooler::Transaction || d.direct_url.is_some()) {
        out.push("database.url: is missing, and database.pooler or database.direct_url stands beside it".to_owned());
    }
}

fn cluster(config: &Config, out: &mut Vec<String>) {
    let c = &config.cluster;
    if c.heartbeat.is_zero() || c.heartbeat >= c.confirm_within {
        out.push("cluster.heartbeat: must be more than 0 and less than cluster.confirm_within".to_owned());
    }
    if c.confirm_within >= c.dead_after {
        out.push(
            "cluster.confirm_within: must be less than cluster.dead_after, or a node still starts effects when its jobs run elsewhere"
                .to_owned(),
        );
    }
    if c.poll.is_zero() {
        out.push("cluster.poll: must be more than 0".to_owned());
    }
}

fn issuer_is_sound(issuer: &Issuer, place: &str, out: &mut Vec<String>) {
    match (issuer.algorithm, &issuer.secret, &issuer.public_key) {
        (Algorithm::HS256, Some(secret), None) => {
            if secret.expose().len() < 32 {
                out.push(format!(
                    "{place}.secret: has {} bytes, HS256 needs at least 32: openssl rand -base64 48",
                    secret.expose().len()
                ));
            }
        }
        (Algorithm::HS256, _, _) => out.push(format!("{place}: HS256 takes a secret and no public_key")),
        (_, None, Some(key)) => {
            // A private key here would be a secret in the wrong place, and the verifier would not take it.
            if !key.expose().contains("-----BEGIN PUBLIC KEY-----")
                && !key.expose().contains("-----BEGIN RSA PUBLIC KEY-----")
            {
                out.push(format!("{place}.public_key: is no PEM public key (-----BEGIN PUBLIC KEY-----)"));
            }
        }
        (_, _, _) => out.push(format!("{place}: RS256, ES256 and EdDSA take a public_key and no secret")),
    }
}

fn queues(config: &Config, out: &mut Vec<String>) {
    if config.queues.0.is_empty() {
        out.push("queues: there must be at least one".to_owned());
    }
    for (name, queue) in &config.queues.0 {
        let place = format!("queues.{name}");
        if !is_name(name) {
            out.push(format!("{place}: a name is 1 to 64 of a-z, 0-9, - and _"));
        }
        if queue.retries > 100 {
            out.push(format!("{place}.retries: at most 100"));
        }
        if queue.delay.is_zero() || queue.max_delay < queue.delay {
            out.push(format!("{place}.delay: must be more than 0 and at most max_delay"));
        }
        if queue.expiry.is_zero() {
            out.push(format!("{place}.expiry: must be more than 0"));
        }
        if !(queue.tenant_share > 0.0 && queue.tenant_share <= 1.0) {
            out.push(format!("{place}.tenant_share: more than 0 and at most 1"));
        }
    }
}

fn tenants(config: &Config, out: &mut Vec<String>) {
    for (name, tenant) in &config.tenants.0 {
        if !(1..=100).contains(&tenant.weight) {
            out.push(format!("tenants.{name}.weight: 1 to 100"));
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
}

impl EmailProfile {
    /// What `security` and `port` say together; `None`: they say nothing that is certain.
    pub fn effective_security(&self) -> Option<SmtpSecurity> {
        match (self.security, self.port) {
            (Some(security), _) => Some(security),
            (None, 587) => Some(SmtpSecurity::Starttls),
            (None, 465) => Some(SmtpSecurity::Tls),
            (None, _) => None,
        }
    }
}

fn email(profile: &EmailProfile, place: &str, out: &mut Vec<String>) {
    match (profile.effective_security(), profile.port) {
        (None, port) => {
            out.push(format!("{place}.security: port {port} says nothing: \"starttls\", \"tls\" or \"none\""));
        }
        (Some(SmtpSecurity::Starttls), 465) => out.push(format!("{place}.security: port 465 is implicit TLS: \"tls\"")),
        (Some(SmtpSecurity::Tls), 587) => out.push(format!("{place}.security: port 587 is STARTTLS: \"starttls\"")),
        (Some(SmtpSecurity::None), _) => {
            if profile.password.is_some() {
                out.push(format!("{place}.security: \"none\" would send the password in clear text"));
            }
            if !is_loopback(&profile.host) {
                out.push(format!("{place}.security: \"none\" is for loopback only"));
            }
        }
        (Some(_), _) => {}
    }
    if profile.username.is_some() != profile.password.is_some() {
        out.push(format!("{place}: username and password go together"));
    }
    if profile.from.parse::<lettre::message::Mailbox>().is_err() {
        out.push(format!("{place}.from: is no address (\"Name <name@example.com>\")"));
    }
    if profile.timeout.is_zero() || profile.timeout > Duration::from_secs(300) {
        out.push(format!("{place}.timeout: must be more than 0 and at most 5 minutes"));
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn upstream_is_sound(upstream: &Upstream, place: &str, out: &mut Vec<String>) {
    match url::Url::parse(&upstream.base_url) {
        Ok(url) => {
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                out.push(format!("{place}.base_url: must be http:// or https:// with a host"));
            }
            if url.query().is_some()
                || url.fragment().is_some()
                || !url.username().is_empty()
                || url.password().is_some()
            {
                out.push(format!("{place}.base_url: holds no user, query or fragment; secrets have their own key"));
            }
        }
        Err(error) => out.push(format!("{place}.base_url: {error}")),
    }
    if upstream.methods.is_empty() {
        out.push(format!("{place}.methods: an upstream without methods can't be called"));
    }
    if upstream.timeout.is_zero() || upstream.timeout > Duration::from_secs(300) {
        out.push(format!("{place}.timeout: must be more than 0 and at most 5 minutes"));
    }
    if upstream.max_response == 0 || upstream.max_response > 4 << 20 {
        out.push(format!("{place}.max_response: must be more than 0 and at most 4 MiB"));
    }
}

/// A grant of something that does not exist is a spelling mistake.
fn policy(config: &Config, grants: &GrantSet, place: &str, out: &mut Vec<String>) {
    for profile in grants.email.iter().filter(|name| !config.email.profiles.contains_key(*name)) {
        out.push(format!("{place}.email: there is no email.profiles.{profile}"));
    }
    for upstream in grants.upstream.iter().filter(|name| !config.upstreams.contains_key(*name)) {
        out.push(format!("{place}.upstream: there is no upstreams.{upstream}"));
    }
}

fn bounds(config: &Config, out: &mut Vec<String>) {
    if config.database.max_connections < 5 {
        out.push("database.max_connections: at least 5".to_owned());
    }
    if config.worker.claim_batch == 0 || config.worker.claim_batch > 10_000 {
        out.push("worker.claim_batch: 1 to 10,000".to_owned());
    }
    let runtime = &config.runtime;
    if !(10..=10_000).contains(&runtime.slots) {
        out.push("runtime.slots: 10 to 10,000".to_owned());
    }
    if runtime.max_memory < 1 << 20 || runtime.max_memory > runtime.memory_budget || runtime.max_memory > 4 << 30 {
        out.push("runtime.max_memory: 1 MiB to 4 GiB, and at most runtime.memory_budget".to_owned());
    }
    if runtime.threads == 0 {
        out.push("runtime.threads: at least 1".to_owned());
    }
    if runtime.compile_memory < 64 << 20 || runtime.compile_cpu < Duration::from_secs(1) {
        out.push("runtime.compile_memory, runtime.compile_cpu: at least 64 MiB and 1s".to_owned());
    }
}
