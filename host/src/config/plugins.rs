use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plugins {
    /// Under `--dev`, `.wasm` files here are published as they appear.
    pub dir: Option<PathBuf>,
    /// The operator's policy by plugin name. Absent means nothing is granted.
    pub policy: BTreeMap<String, GrantSet>,
}

/// What a plugin asks for (manifest) or may have (policy), by provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrantSet {
    /// Email profiles by name.
    pub email: Vec<String>,
    /// SMS profiles by name.
    pub sms: Vec<String>,
    /// Push profiles by name.
    pub push: Vec<String>,
    /// Upstreams by name.
    pub upstream: Vec<String>,
    /// Job types it may enqueue.
    pub jobs: Vec<String>,
    /// Event types it may publish to its tenants' webhook endpoints.
    pub webhook: Vec<String>,
    /// Stripe functions by their name in the contract, such as `create-refund`.
    pub stripe: Vec<String>,
    /// Solana functions by their name in the contract: `mint-nft`.
    pub solana: Vec<String>,
}
