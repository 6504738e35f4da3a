use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Rate, RateLimit, RateLimits, Secret};

/// Wallets on Solana. The host picks the profile by the job's tenant; a guest never names one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Solana {
    /// The key pairs of all mints are derived from it, with job and label. At least 32 bytes, the same on all hosts.
    pub mint_key: Option<Secret>,
    pub profiles: BTreeMap<String, SolanaProfile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolanaProfile {
    /// The 64-byte key pair of the wallet that pays and mints: base58, or a JSON array as the command line tools write it.
    pub wallet: Secret,
    /// Whose jobs use it; `"*"`: those of every tenant that no other profile names.
    pub tenants: Vec<String>,
    /// Asked in this order, going round from the one that answered last; the next one when one is away, busy or behind.
    pub endpoints: Vec<SolanaEndpoint>,
    #[serde(default)]
    pub standard: TokenStandard,
    /// From when on a mint counts as done.
    #[serde(default)]
    pub commitment: SolanaCommitment,
    /// The most of one transaction.
    #[serde(default = "default_units")]
    pub compute_units: u32,
    /// In micro-lamports a compute unit.
    #[serde(default = "default_priority")]
    pub priority_fee: u64,
    #[serde(default = "default_job")]
    pub max_lamports_per_job: u64,
    /// Of a tenant's jobs together, within the last hour.
    #[serde(default = "default_hour")]
    pub max_lamports_per_hour: u64,
    /// Collections (addresses of their mints) that a guest may name; `"*"`: any.
    #[serde(default)]
    pub collections: Vec<String>,
    /// Of one call, from the first question to the commitment.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolanaEndpoint {
    /// A secret, since providers put tokens into it. Only host and port are ever shown.
    pub url: Secret,
    /// The limit of the bucket `destination/solana/HOST:PORT`, unless `[rate_limits]` names that one.
    pub rate: Option<Rate>,
    pub burst: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenStandard {
    /// Token-2022 with the metadata in the mint itself.
    #[default]
    #[serde(rename = "token-2022")]
    Token2022,
    /// SPL Token with the accounts of Metaplex Token Metadata.
    Metaplex,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SolanaCommitment {
    Confirmed,
    #[default]
    Finalized,
}

impl SolanaCommitment {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

impl TokenStandard {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token2022 => "token-2022",
            Self::Metaplex => "metaplex",
        }
    }
}

impl SolanaEndpoint {
    /// Host and port: all of it that may be shown. `None`: it has none, or is no URL of HTTP.
    pub fn place(&self) -> Option<String> {
        let url = url::Url::parse(self.url.expose()).ok()?;
        let port = url.port_or_known_default().filter(|_| matches!(url.scheme(), "http" | "https"))?;
        Some(format!("{}:{port}", url.host_str()?))
    }
}

impl Solana {
    /// What the endpoints say of their own rates, where the section of rate limits says nothing.
    pub(super) fn add_rates(&self, limits: &mut RateLimits) {
        for endpoint in self.profiles.values().flat_map(|profile| &profile.endpoints) {
            if let (Some(place), Some(rate)) = (endpoint.place(), endpoint.rate) {
                let limit = RateLimit { rate, burst: endpoint.burst };
                limits.buckets.entry(format!("destination/solana/{place}")).or_insert(limit);
            }
        }
    }
}

#[cfg(feature = "solana")]
impl SolanaProfile {
    /// `None`: what is there is no key pair.
    pub fn keypair(&self) -> Option<solana_keypair::Keypair> {
        let text = self.wallet.expose().trim();
        if text.starts_with('[') {
            let bytes: Vec<u8> = serde_json::from_str(text).ok()?;
            return solana_keypair::Keypair::try_from(bytes.as_slice()).ok();
        }
        solana_keypair::Keypair::try_from_base58_string(text).ok()
    }
}

fn default_units() -> u32 {
    300_000
}

fn default_priority() -> u64 {
    10_000
}

fn default_job() -> u64 {
    50_000_000
}

fn default_hour() -> u64 {
    1_000_000_000
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}
