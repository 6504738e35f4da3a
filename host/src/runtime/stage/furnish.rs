//! What a plugin names and nobody has configured yet: stand-ins that let its requests be prepared. Nothing is ever sent to them.

use serde_json::json;

use crate::{
    config::{Config, Secret, StripeProfile},
    releases::Manifest,
};

/// The configuration with all that the manifest asks for granted and there. What is configured stays as it is, so that an
/// operator's own profiles decide where they are known.
pub(super) fn furnish(mut config: Config, manifest: &Manifest) -> Result<Config, String> {
    let grants = &manifest.grants;
    config.plugins.policy.insert(manifest.name.clone(), grants.clone());
    // Small: it runs one job at a time.
    config.runtime.slots = config.runtime.slots.min(64);
    for job in &manifest.jobs {
        if !config.queues.0.contains_key(&job.queue) {
            let like = if grants.stripe.is_empty() && grants.solana.is_empty() { "communication" } else { "money" };
            let queue = Config::default().queues.0.get(like).cloned();
            config.queues.0.insert(job.queue.clone(), queue.ok_or("there is no queue to copy")?);
        }
    }
    for name in &grants.email {
        if !config.email.profiles.contains_key(name) {
            let profile = json!({"host": "127.0.0.1", "from": "Usher <usher@example.com>"});
            config.email.profiles.insert(name.clone(), serde_json::from_value(profile).map_err(|e| e.to_string())?);
        }
    }
    for name in &grants.upstream {
        upstream(&mut config, name)?;
    }
    for name in &grants.sms {
        if !config.sms.profiles.contains_key(name) {
            upstream(&mut config, CARRIER)?;
            let profile = json!({"upstream": CARRIER, "account": "AC0", "from": "+15550100"});
            config.sms.profiles.insert(name.clone(), serde_json::from_value(profile).map_err(|e| e.to_string())?);
        }
    }
    for name in &grants.push {
        if !config.push.profiles.contains_key(name) {
            upstream(&mut config, CARRIER)?;
            let profile = json!({"upstream": CARRIER, "project": "stand-in"});
            config.push.profiles.insert(name.clone(), serde_json::from_value(profile).map_err(|e| e.to_string())?);
        }
    }
    if !grants.stripe.is_empty() && config.stripe.profiles.is_empty() {
        config.stripe.profiles.insert("stand-in".to_owned(), stripe());
    }
    #[cfg(feature = "solana")]
    if !grants.solana.is_empty() && config.solana.profiles.is_empty() {
        config.solana.mint_key.get_or_insert_with(|| Secret::stand_in("a key of mints that nobody will ever see"));
        config.solana.profiles.insert("stand-in".to_owned(), solana());
    }
    Ok(config)
}

/// The upstream that furnished profiles of `sms` and `push` name.
const CARRIER: &str = "usher-stand-in";

fn upstream(config: &mut Config, name: &str) -> Result<(), String> {
    if !config.upstreams.contains_key(name) {
        let upstream = json!({
            "base_url": "http://127.0.0.1:9", "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            "idempotent": true,
        });
        config.upstreams.insert(name.to_owned(), serde_json::from_value(upstream).map_err(|e| e.to_string())?);
    }
    Ok(())
}

fn stripe() -> StripeProfile {
    StripeProfile {
        key: Secret::stand_in("sk_test_stand_in"),
        tenants: vec!["*".to_owned()],
        venues: Vec::new(),
        account: None,
        connected: vec!["*".to_owned()],
        allow_live: false,
        base_url: "http://127.0.0.1:9".to_owned(),
        timeout: std::time::Duration::from_secs(1),
        webhook_secrets: Vec::new(),
    }
}

#[cfg(feature = "solana")]
fn solana() -> crate::config::SolanaProfile {
    use crate::config::{SolanaCommitment, SolanaEndpoint, SolanaProfile, TokenStandard};
    let wallet = solana_keypair::Keypair::new_from_array([7; 32]).to_base58_string();
    SolanaProfile {
        wallet: Secret::stand_in(&wallet),
        tenants: vec!["*".to_owned()],
        endpoints: vec![SolanaEndpoint { url: Secret::stand_in("http://127.0.0.1:9"), rate: None, burst: None }],
        standard: TokenStandard::default(),
        commitment: SolanaCommitment::default(),
        compute_units: 300_000,
        priority_fee: 10_000,
        max_lamports_per_job: 50_000_000,
        max_lamports_per_hour: 1_000_000_000,
        collections: vec!["*".to_owned()],
        timeout: std::time::Duration::from_secs(1),
    }
}
