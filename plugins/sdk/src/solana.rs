//! NFTs on Solana, minted and paid for by the wallet that the operator chose for the job's tenant. The manifest's
//! `[grants] solana` names `mint-nft`, and a type that has it lives in a queue of tier 1.
//!
//! The metadata file is uploaded first, to an upstream where a repeat does no harm (its name is the hash of its content);
//! then the token is minted, at most once, whatever becomes of the attempt. Whether by Token-2022 or with Metaplex accounts
//! is the operator's choice.
//!
//! ```no_run
//! # fn main() -> Result<(), usher_plugin::Failure> {
//! use usher_plugin::solana::Nft;
//! let ticket = Nft::new("Seat 12A", "https://files.example.com/sha256-ab12.json", "7xKX…")
//!     .symbol("TICKET")
//!     .royalty_bps(500)
//!     .mint("seat-12A")?;
//! # let _ = ticket.mint;
//! # Ok(()) }
//! ```

pub use crate::raw::usher::plugin::solana::Minted;
use crate::{Error, host, raw::usher::plugin::solana};

/// A token to be minted: one, for ever.
#[derive(Clone, Debug)]
#[must_use = "call mint()"]
pub struct Nft(solana::Nft);

impl Nft {
    /// `name`: 1 to 32 bytes. `uri`: of the metadata file, 1 to 200 bytes. `recipient`: a wallet's address.
    pub fn new(name: impl Into<String>, uri: impl Into<String>, recipient: impl Into<String>) -> Self {
        Self(solana::Nft {
            name: name.into(),
            symbol: String::new(),
            uri: uri.into(),
            recipient: recipient.into(),
            collection: None,
            royalty_bps: 0,
            attributes: Vec::new(),
        })
    }

    /// At most 10 bytes.
    pub fn symbol(mut self, symbol: impl Into<String>) -> Self {
        self.0.symbol = symbol.into();
        self
    }

    /// The address of the collection's mint; the operator has a list of those it takes.
    pub fn collection(mut self, mint: impl Into<String>) -> Self {
        self.0.collection = Some(mint.into());
        self
    }

    /// Hundredths of a percent of each later sale: 500 is 5 %.
    pub fn royalty_bps(mut self, bps: u16) -> Self {
        self.0.royalty_bps = bps;
        self
    }

    /// Kept in the token itself, where the operator's profile mints by Token-2022; elsewhere it is refused.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.attributes.push((name.into(), value.into()));
        self
    }

    /// `label` (1 to 64 bytes) names the mint inside the job: the same label is the same mint address.
    pub fn mint(self, label: &str) -> Result<Minted, Error> {
        Ok(host::mint_nft(label, &self.0)?)
    }
}
