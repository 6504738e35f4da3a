use super::{
    State, answered, unreadable,
    wit::{
        solana::{self, Minted, Nft},
        types::Error,
    },
};
use crate::effects::solana::Request;

impl solana::Host for State {
    async fn mint_nft(&mut self, label: String, nft: Nft) -> wasmtime::Result<Result<Minted, Error>> {
        let Nft { name, symbol, uri, recipient, collection, royalty_bps, attributes } = nft;
        let request = Request { label, name, symbol, uri, recipient, collection, royalty_bps, attributes };
        let passed = self.world.call(|all| &all.solana, &self.attempt, request).await;
        Ok(match answered(self, passed)? {
            Ok(value) => {
                let Journaled { mint, token_account, signature, slot } =
                    serde_json::from_value(value).map_err(|_| unreadable(self))?;
                Ok(Minted { mint, token_account, signature, slot })
            }
            Err(error) => Err(error),
        })
    }
}

/// The answer as `effects::solana` journals it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Journaled {
    mint: String,
    token_account: String,
    signature: String,
    slot: u64,
}
