use std::{collections::BTreeMap, time::Duration};

use super::is_loopback;
use crate::config::{RateLimit, Solana, SolanaEndpoint, SolanaProfile};

/// One wrong line here empties a wallet, or mints twice.
pub(super) fn findings(solana: &Solana, out: &mut Vec<String>) {
    if !solana.profiles.is_empty() && !cfg!(feature = "solana") {
        out.push("solana.profiles: this host was built without Solana (feature `solana`)".to_owned());
        return;
    }
    match &solana.mint_key {
        Some(key) if key.expose().len() < 32 => out.push(format!(
            "solana.mint_key: has {} bytes, at least 32 are needed: openssl rand -base64 48",
            key.expose().len()
        )),
        None if !solana.profiles.is_empty() => out.push(
            "solana.mint_key: is missing; the keys of all mints are derived from it: openssl rand -base64 48"
                .to_owned(),
        ),
        _ => {}
    }
    let mut served = BTreeMap::new();
    let mut rates = BTreeMap::new();
    for (name, profile) in &solana.profiles {
        let place = format!("solana.profiles.{name}");
        if profile.tenants.is_empty() {
            out.push(format!("{place}.tenants: whose jobs may use it? Name the tenants, or \"*\" for all others"));
        }
        for tenant in &profile.tenants {
            if let Some(other) = served.insert(tenant, name)
                && other != name
            {
                out.push(format!("{place}.tenants: solana.profiles.{other} serves tenant \"{tenant}\" already"));
            }
        }
        keys(profile, &place, out);
        numbers(profile, &place, out);
        if profile.endpoints.is_empty() {
            out.push(format!("{place}.endpoints: there must be at least one, with its url"));
        }
        for (n, endpoint) in profile.endpoints.iter().enumerate() {
            let place = format!("{place}.endpoints.{n}");
            self::endpoint(endpoint, &place, out);
            if let (Some(at), Some(rate)) = (endpoint.place(), endpoint.rate)
                && rates.insert(at, (rate, endpoint.burst)).is_some_and(|other| other != (rate, endpoint.burst))
            {
                out.push(format!("{place}.rate: the same host and port has another rate elsewhere; they share one"));
            }
        }
    }
}

/// The finding never repeats what is there: it may be the secret.
fn endpoint(endpoint: &SolanaEndpoint, place: &str, out: &mut Vec<String>) {
    match url::Url::parse(endpoint.url.expose()) {
        Ok(url) if url.scheme() == "https" => {}
        Ok(url) if url.scheme() == "http" && url.host_str().is_some_and(is_loopback) => {}
        Ok(_) => out.push(format!("{place}.url: must be https; http is for loopback only")),
        Err(error) => out.push(format!("{place}.url: {error}")),
    }
    match endpoint.rate {
        Some(rate) => {
            if let Some((field, message)) = (RateLimit { rate, burst: endpoint.burst }).finding() {
                out.push(format!("{place}.{field}: {message}"));
            }
        }
        None if endpoint.burst.is_some() => out.push(format!("{place}.burst: goes with a rate")),
        None => {}
    }
}

fn numbers(profile: &SolanaProfile, place: &str, out: &mut Vec<String>) {
    // The most that a transaction may have.
    if !(50_000..=1_400_000).contains(&profile.compute_units) {
        out.push(format!("{place}.compute_units: 50,000 to 1,400,000"));
    }
    // A hundredth of a SOL for each hundred thousand units.
    if profile.priority_fee > 100_000_000 {
        out.push(format!("{place}.priority_fee: at most 100,000,000 micro-lamports a compute unit"));
    }
    if profile.max_lamports_per_job == 0 || profile.max_lamports_per_job > profile.max_lamports_per_hour {
        out.push(format!("{place}.max_lamports_per_job: must be more than 0 and at most max_lamports_per_hour"));
    }
    if profile.timeout < Duration::from_secs(1) || profile.timeout > Duration::from_secs(100) {
        out.push(format!("{place}.timeout: 1s to 100s"));
    }
}

#[cfg(feature = "solana")]
fn keys(profile: &SolanaProfile, place: &str, out: &mut Vec<String>) {
    if profile.keypair().is_none() {
        out.push(format!("{place}.wallet: is no key pair of 64 bytes, in base58 or as a JSON array"));
    }
    for collection in profile.collections.iter().filter(|name| *name != "*") {
        if collection.parse::<solana_pubkey::Pubkey>().is_err() {
            out.push(format!("{place}.collections: \"{collection}\" is no address"));
        }
    }
}

#[cfg(not(feature = "solana"))]
fn keys(_: &SolanaProfile, _: &str, _: &mut Vec<String>) {}
