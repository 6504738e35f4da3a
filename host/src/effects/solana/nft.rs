use std::collections::BTreeSet;

use serde_json::{Value, json};
use solana_pubkey::Pubkey;

use crate::{
    config::{SolanaProfile, TokenStandard},
    journal::Answer,
};

/// `usher:plugin/solana.mint-nft`. The answer's value is the WIT's `minted`.
#[derive(Clone, Debug)]
pub struct Request {
    pub label: String,
    pub name: String,
    pub symbol: String,
    pub uri: String,
    pub recipient: String,
    pub collection: Option<String>,
    pub royalty_bps: u16,
    pub attributes: Vec<(String, String)>,
}

/// A checked one.
#[derive(Clone, Debug)]
pub(super) struct Nft {
    pub name: String,
    pub symbol: String,
    pub uri: String,
    pub recipient: Pubkey,
    pub collection: Option<Pubkey>,
    pub royalty_bps: u16,
    pub attributes: Vec<(String, String)>,
}

/// Names of additional metadata that the host fills by itself (Token-2022).
pub(super) const ROYALTY: &str = "royalty_basis_points";
pub(super) const COLLECTION: &str = "collection";

/// Metaplex's limits, in bytes. Token-2022 has none of its own; one rule for both lets a profile change its standard.
const MAX_NAME: usize = 32;
const MAX_SYMBOL: usize = 10;
const MAX_URI: usize = 200;
const MAX_LABEL: usize = 64;
/// Key and value of an attribute. What they may come to together is bounded by the size of a transaction.
const MAX_ATTRIBUTE: usize = 128;

impl Request {
    pub(super) fn check(&self, profile: &SolanaProfile) -> Result<Nft, Answer> {
        text("label", &self.label, 1, MAX_LABEL)?;
        text("name", &self.name, 1, MAX_NAME)?;
        text("symbol", &self.symbol, 0, MAX_SYMBOL)?;
        text("uri", &self.uri, 1, MAX_URI)?;
        if self.royalty_bps > 10_000 {
            return invalid("royalty-bps: at most 10000, which is all of the price");
        }
        let recipient: Pubkey = self.recipient.parse().or_else(|_| invalid("recipient: is no address"))?;
        if !recipient.is_on_curve() {
            return invalid("recipient: is no wallet, but an account of a program, which could not own the token");
        }
        let collection = match &self.collection {
            None => None,
            Some(named) => {
                let collection: Pubkey = named.parse().or_else(|_| invalid("collection: is no address"))?;
                if !profile.collections.iter().any(|allowed| allowed == "*" || allowed == named) {
                    return Err(Answer::Denied(format!(
                        "the profile's collections (solana.profiles.….collections) do not name {collection}"
                    )));
                }
                Some(collection)
            }
        };
        self.check_attributes(profile.standard)?;
        Ok(Nft {
            name: self.name.clone(),
            symbol: self.symbol.clone(),
            uri: self.uri.clone(),
            recipient,
            collection,
            royalty_bps: self.royalty_bps,
            attributes: self.attributes.clone(),
        })
    }

    fn check_attributes(&self, standard: TokenStandard) -> Result<(), Answer> {
        if standard == TokenStandard::Metaplex && !self.attributes.is_empty() {
            return invalid("attributes: this profile mints by Metaplex, which keeps them in the file at uri only");
        }
        let mut seen = BTreeSet::new();
        for (name, value) in &self.attributes {
            text("attributes", name, 1, MAX_ATTRIBUTE)?;
            text("attributes", value, 0, MAX_ATTRIBUTE)?;
            if ["name", "symbol", "uri", ROYALTY, COLLECTION].contains(&name.as_str()) {
                return invalid(format!("attributes: {name} is set by its own field"));
            }
            if !seen.insert(name) {
                return invalid(format!("attributes: {name} is there twice"));
            }
        }
        Ok(())
    }

    /// All that makes it what it is.
    pub(super) fn identity(&self) -> Value {
        json!({
            "label": self.label, "name": self.name, "symbol": self.symbol, "uri": self.uri, "recipient": self.recipient,
            "collection": self.collection, "royaltyBps": self.royalty_bps, "attributes": self.attributes,
        })
    }

    /// The same for people. What is minted is public; only the attributes may say something about a person, and before
    /// the request is checked any text may be anything.
    pub(super) fn redacted(&self) -> Value {
        let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(100).collect::<String>();
        let names: Vec<_> = self.attributes.iter().map(|(name, _)| short(name)).collect();
        json!({
            "label": short(&self.label), "name": short(&self.name), "symbol": short(&self.symbol),
            "recipient": short(&self.recipient), "collection": self.collection.as_deref().map(short),
            "royaltyBps": self.royalty_bps, "attributes": names,
        })
    }
}

pub(super) fn invalid<T>(message: impl Into<String>) -> Result<T, Answer> {
    Err(Answer::Invalid(message.into()))
}

fn text(place: &str, value: &str, least: usize, most: usize) -> Result<(), Answer> {
    if !(least..=most).contains(&value.len()) || value.chars().any(char::is_control) {
        return invalid(format!("{place}: {least} to {most} bytes, no control characters"));
    }
    Ok(())
}
