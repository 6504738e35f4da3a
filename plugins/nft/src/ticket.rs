//! The payload of `nft-mint`, and the metadata file that is made of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ticket {
    #[serde(default)]
    pub profile: Profile,
    pub venue_id: Option<String>,
    pub event_id: String,
    pub event_name: Option<String>,
    pub seat_id: Option<String>,
    pub ticket_id: Option<String>,
    pub name: String,
    #[serde(default)]
    pub symbol: String,
    #[serde(default)]
    pub description: String,
    pub image: Option<String>,
    /// In the order of their names, whatever that of the payload is: the file's name depends on it.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    pub metadata_base: Option<String>,
    pub recipient: Option<String>,
    pub collection: Option<String>,
    #[serde(default)]
    pub royalty_bps: u16,
    pub holder: Option<String>,
    pub email: Option<String>,
}

/// Who mints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    #[default]
    Service,
    Solana,
}

impl Ticket {
    /// What the idempotency key names, too. `None`: the payload names neither seat nor ticket.
    pub fn label(&self) -> Option<&str> {
        self.seat_id.as_deref().or(self.ticket_id.as_deref())
    }

    /// As wallets read it (Metaplex's token standard).
    pub fn metadata(&self) -> Value {
        let attributes: Vec<_> =
            self.attributes.iter().map(|(name, value)| json!({"trait_type": name, "value": value})).collect();
        let mut metadata = json!({
            "name": self.name, "symbol": self.symbol, "description": self.description, "attributes": attributes,
        });
        if let Some(image) = &self.image {
            metadata["image"] = image.as_str().into();
        }
        metadata
    }
}
