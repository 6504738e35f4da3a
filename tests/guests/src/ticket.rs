//! A ticket minted by way of two upstreams: its metadata go to a storage that names them by their content, then the service mints.

use serde::Deserialize;
use serde_json::{Value, json};
use usher_plugin::{
    Failure,
    upstream::{self, Request},
};

/// `name`: what the storage calls these metadata; a guest of the tests brings no sha256 of its own.
#[derive(Debug, Deserialize)]
pub struct Ticket {
    ticket: String,
    metadata: Value,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Minted {
    asset_id: String,
}

impl Ticket {
    pub fn mint(self) -> Result<Value, Failure> {
        let path = format!("/{}", self.name);
        Request::put("storage", path.as_str()).json(&self.metadata)?.call()?.expect_ok()?;
        let wanted = json!({"ticketId": self.ticket, "metadataUri": format!("storage:{path}")});
        let minted: Minted = upstream::post_json("minting", "/api/v1/mint/compressed", &wanted)?;
        Ok(json!({"assetId": minted.asset_id}))
    }

    /// The same by the product's older way: JSON-RPC, where the ticket is the call's id.
    pub fn mint_by_rpc(self) -> Result<Value, Failure> {
        let params = json!({"metadata": self.metadata});
        let minted: Minted = upstream::json_rpc("minting-rpc", "/", "mintCompressedNft", &self.ticket, &params)?;
        Ok(json!({"assetId": minted.asset_id}))
    }
}
