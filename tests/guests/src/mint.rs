//! Behaviours that mint.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use usher_plugin::{Failure, solana::Nft};

use crate::described;

/// `{"do": "mint", "label": "seat-1", "name": "Seat 1", "uri": "…", "recipient": "…"}`. With `catch`, a refusal is the result;
/// without, it fails the job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mint {
    label: String,
    name: String,
    #[serde(default)]
    symbol: String,
    uri: String,
    recipient: String,
    collection: Option<String>,
    #[serde(default)]
    royalty_bps: u16,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    catch: bool,
}

impl Mint {
    pub fn mint(self) -> Result<Value, Failure> {
        let mut nft = Nft::new(self.name, self.uri, self.recipient).symbol(self.symbol).royalty_bps(self.royalty_bps);
        if let Some(collection) = self.collection {
            nft = nft.collection(collection);
        }
        for (name, value) in self.attributes {
            nft = nft.attribute(name, value);
        }
        match nft.mint(&self.label) {
            Ok(minted) => Ok(json!({
                "mint": minted.mint, "tokenAccount": minted.token_account, "signature": minted.signature,
                "slot": minted.slot,
            })),
            Err(error) if self.catch => Ok(described(&error)),
            Err(error) => Err(error.into()),
        }
    }
}
