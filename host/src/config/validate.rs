mod solana;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{Config, GrantSet, Pooler, Stripe, StripeMode, Webhooks, check_bucket};
use crate::ids::{OPERATION_FAILED, is_event_type};

/// What no single value shows: contradictions, and what is unsafe.
pub(super) fn findings(config: &Config) -> Vec<String> {
    let mut out = Vec::new();
    database(config, &mut out);
    cluster(config, &mut out);
    for (n, issuer) in config.auth.issuers.iter().enumerate() {
        issuer.findings(&format!("auth.issuers.{n} ({})", issuer.name), &mut out);
    }
    let names: BTreeSet<_> = config.auth.issuers.iter().map(|issuer| &issuer.name).collect();
    if names.len() < config.auth.issuers.len() {
        out.push("auth.issuers: two issuers share a name".to_owned());
    }
    config.auth.services.findings(&mut out);
    queues(config, &mut out);
    tenants(config, &mut out);
    rate_limits(config, &mut out);
    config.pressure.findings(config.queues.0.keys(), &mut out);
    for (name, profile) in &config.email.profiles {
        profile.findings(&format!("email.profiles.{name}"), &mut out);
    }
    for (name, profile) in &config.sms.profiles {
        profile.findings(&config.upstreams, &format!("sms.profiles.{name}"), &mut out);
    }
    for (name, profile) in &config.push.profiles {
        profile.findings(&config.upstreams, &format!("push.profiles.{name}"), &mut out);
    }
    for (name, upstream) in &config.upstreams {
        let is_named = config.sms.profiles.values().any(|profile| profile.upstream == *name)
            || config.push.profiles.values().any(|profile| profile.upstream == *name);
        upstream.findings(&format!("upstreams.{name}"), is_named, &mut out);
    }
    stripe(&config.stripe, &mut out);
    config.stripe.inbound_findings(&mut out);
    solana::findings(&config.solana, &mut out);
    let quarantine = config.plugins.quarantine;
    if quarantine.bad > quarantine.of || quarantine.of > 1_000 {
        out.push("plugins.quarantine: bad is at most of, which is at most 1,000 (bad = 0: never)".to_owned());
    }
    if config.plugins.require_verify.is_some_and(|verify| !(1..=10_000).contains(&verify.last)) {
        out.push("plugins.require_verify: last is 1 to 10,000 (to ask nobody, leave the table out)".to_owned());
    }
    for (plugin, grants) in &config.plugins.policy {
        policy(config, grants, &format!("plugins.policy.{plugin}"), &mut out);
    }
    webhooks(&config.webhooks, &mut out);
    config.events.findings(&mut out);
    config.alerts.findings(&config.email, &config.queues, &mut out);
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
    if c.ready_within < c.heartbeat || c.ready_within > Duration::from_secs(3600) {
        out.push("cluster.ready_within: at least cluster.heartbeat and at most 1 hour".to_owned());
    }
    if c.poll.is_zero() {
        out.push("cluster.poll: must be more than 0".to_owned());
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

fn rate_limits(config: &Config, out: &mut Vec<String>) {
    let limits = &config.rate_limits;
    if limits.patience > Duration::from_secs(5) {
        out.push("rate_limits.patience: at most 5s; who waits keeps a place among the jobs in flight".to_owned());
    }
    for (name, limit) in &limits.buckets {
        let place = format!("rate_limits.\"{name}\"");
        if let Err(message) = check_bucket(name) {
            out.push(format!("{place}: {message}"));
        }
        if let Some((field, message)) = limit.finding() {
            out.push(format!("{place}.{field}: {message}"));
        }
        // A limit of something that does not exist is a spelling mistake.
        match name.split('/').collect::<Vec<_>>().as_slice() {
            ["provider" | "destination", "upstream", name] if *name != "*" && !config.upstreams.contains_key(*name) => {
                out.push(format!("{place}: there is no upstreams.{name}"));
            }
            ["provider" | "destination", "email", name]
                if *name != "*" && !config.email.profiles.contains_key(*name) =>
            {
                out.push(format!("{place}: there is no email.profiles.{name}"));
            }
            ["provider" | "destination", "sms", name] if *name != "*" && !config.sms.profiles.contains_key(*name) => {
                out.push(format!("{place}: there is no sms.profiles.{name}"));
            }
            ["provider" | "destination", "push", name] if *name != "*" && !config.push.profiles.contains_key(*name) => {
                out.push(format!("{place}: there is no push.profiles.{name}"));
            }
            _ => {}
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// One wrong line here moves somebody else's money.
fn stripe(stripe: &Stripe, out: &mut Vec<String>) {
    let mut modes = BTreeSet::new();
    let mut routes = BTreeMap::new();
    for (name, profile) in &stripe.profiles {
        let place = format!("stripe.profiles.{name}");
        let mode = profile.mode();
        match mode {
            None => out.push(format!(
                "{place}.key: is no secret key of Stripe (sk_test_…, rk_test_…, sk_live_… or rk_live_…)"
            )),
            Some(StripeMode::Live) if !profile.allow_live => {
                out.push(format!("{place}.key: is a live key, which moves real money: say allow_live = true"));
            }
            Some(StripeMode::Test) if profile.allow_live => {
                out.push(format!("{place}.allow_live: is true, and the key is a test key"));
            }
            Some(_) => {}
        }
        modes.extend(mode.map(|mode| mode == StripeMode::Live));
        if profile.tenants.is_empty() {
            out.push(format!("{place}.tenants: whose jobs may use it? Name the tenants, or \"*\" for all others"));
        }
        for (tenant, venue) in profile.routes() {
            if let Some(other) = routes.insert((tenant, venue), name)
                && other != name
            {
                let venue = venue.map(|venue| format!(", venue \"{venue}\"")).unwrap_or_default();
                out.push(format!("{place}.tenants: stripe.profiles.{other} serves tenant \"{tenant}\"{venue} already"));
            }
        }
        for account in profile.account.iter().chain(profile.connected.iter().filter(|account| *account != "*")) {
            if !account.starts_with("acct_") {
                out.push(format!("{place}: \"{account}\" is no id of a connected account (acct_…)"));
            }
        }
        match url::Url::parse(&profile.base_url) {
            Ok(url) if url.scheme() == "https" || url.host_str().is_some_and(is_loopback) => {}
            Ok(_) => out.push(format!("{place}.base_url: must be https; http is for loopback only")),
            Err(error) => out.push(format!("{place}.base_url: {error}")),
        }
        if profile.timeout < Duration::from_secs(1) || profile.timeout > Duration::from_secs(100) {
            out.push(format!("{place}.timeout: 1s to 100s"));
        }
    }
    if modes.len() > 1 {
        out.push("stripe.profiles: test and live keys stand side by side; one host uses one kind".to_owned());
    }
}

/// A grant of something that does not exist is a spelling mistake.
fn policy(config: &Config, grants: &GrantSet, place: &str, out: &mut Vec<String>) {
    for profile in grants.email.iter().filter(|name| !config.email.profiles.contains_key(*name)) {
        out.push(format!("{place}.email: there is no email.profiles.{profile}"));
    }
    for profile in grants.sms.iter().filter(|name| !config.sms.profiles.contains_key(*name)) {
        out.push(format!("{place}.sms: there is no sms.profiles.{profile}"));
    }
    for profile in grants.push.iter().filter(|name| !config.push.profiles.contains_key(*name)) {
        out.push(format!("{place}.push: there is no push.profiles.{profile}"));
    }
    for upstream in grants.upstream.iter().filter(|name| !config.upstreams.contains_key(*name)) {
        out.push(format!("{place}.upstream: there is no upstreams.{upstream}"));
    }
    for function in grants.stripe.iter().filter(|name| !STRIPE_FUNCTIONS.contains(&name.as_str())) {
        out.push(format!("{place}.stripe: there is no \"{function}\"; there are {}", STRIPE_FUNCTIONS.join(", ")));
    }
    for function in grants.solana.iter().filter(|name| !SOLANA_FUNCTIONS.contains(&name.as_str())) {
        out.push(format!("{place}.solana: there is no \"{function}\"; there is {}", SOLANA_FUNCTIONS.join(", ")));
    }
    for event in &grants.webhook {
        if !is_event_type(event) {
            out.push(format!("{place}.webhook: \"{event}\" is no event type such as payment.completed"));
        } else if event == OPERATION_FAILED || event.starts_with("webhook.") {
            out.push(format!("{place}.webhook: {event} is published by hosts only"));
        }
    }
}

fn webhooks(w: &Webhooks, out: &mut Vec<String>) {
    if let Some(key) = w.key.as_ref().filter(|key| key.expose().len() < 32) {
        out.push(format!(
            "webhooks.key: has {} bytes, at least 32 are needed: openssl rand -base64 48",
            key.expose().len()
        ));
    }
    if w.user_agent.is_empty() || w.user_agent.len() > 256 || !w.user_agent.bytes().all(|b| (b' '..=b'~').contains(&b))
    {
        out.push("webhooks.user_agent: 1 to 256 characters of visible ASCII".to_owned());
    }
    if w.timeout.is_zero() || w.timeout > Duration::from_secs(60) {
        out.push("webhooks.timeout: must be more than 0 and at most 1 minute".to_owned());
    }
    if w.retries.len() > 50
        || w.retries.iter().any(|pause| pause.is_zero() || *pause > Duration::from_secs(7 * 24 * 3600))
    {
        out.push("webhooks.retries: at most 50, each more than 0 and at most 7 days".to_owned());
    }
    if w.disable_after.is_zero() {
        out.push("webhooks.disable_after: must be more than 0".to_owned());
    }
    if w.overlap > Duration::from_secs(90 * 24 * 3600) {
        out.push("webhooks.overlap: at most 90 days".to_owned());
    }
    if w.per_endpoint == 0 || w.per_endpoint > w.concurrency || w.concurrency > 10_000 {
        out.push(
            "webhooks.per_endpoint: at least 1 and at most webhooks.concurrency, which is at most 10,000".to_owned(),
        );
    }
    for place in &w.allow_private {
        let has_port =
            place.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !has_port {
            out.push(format!("webhooks.allow_private: \"{place}\" is not host:port"));
        }
    }
}

/// As the contract names them.
const STRIPE_FUNCTIONS: [&str; 7] = [
    "create-payment-intent",
    "get-payment-intent",
    "capture-payment-intent",
    "cancel-payment-intent",
    "create-refund",
    "create-payout",
    "create-transfer",
];

const SOLANA_FUNCTIONS: [&str; 1] = ["mint-nft"];

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
