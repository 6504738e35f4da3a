use std::fmt;

use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::{Keypair, Signer};
use solana_message::Message;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

/// The longest transaction that a node takes, in bytes.
pub(super) const MAX_TRANSACTION: usize = 1232;
/// Of each signature.
const LAMPORTS_PER_SIGNATURE: u64 = 5_000;

/// The key that pays and mints. It is never shown, and signs only what this module is given.
pub(super) struct Wallet(Keypair);

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet({})", self.0.pubkey())
    }
}

/// A transaction that may be sent.
#[derive(Debug)]
pub(super) struct Signed {
    pub signature: Signature,
    pub bytes: Vec<u8>,
}

impl Wallet {
    pub fn new(keypair: Keypair) -> Self {
        Self(keypair)
    }

    pub fn address(&self) -> Pubkey {
        self.0.pubkey()
    }

    /// Signs as the wallet, which pays, and as the mint.
    pub fn sign(&self, instructions: &[Instruction], blockhash: Hash, mint: &Keypair) -> Signed {
        let message = Message::new_with_blockhash(instructions, Some(&self.address()), &blockhash);
        let body = message.serialize();
        // In the order of the message's keys: the payer is the first, and nobody else signs.
        let signatures = [self.0.sign_message(&body), mint.sign_message(&body)];
        let mut bytes = Vec::with_capacity(1 + 128 + body.len());
        bytes.push(2);
        for signature in &signatures {
            bytes.extend_from_slice(signature.as_ref());
        }
        bytes.extend_from_slice(&body);
        Signed { signature: signatures[0], bytes }
    }
}

/// The fee of a transaction with two signatures, in lamports; paid even if it fails on the chain.
pub(super) fn fee(compute_units: u32, micro_lamports: u64) -> u64 {
    let priority = u128::from(compute_units) * u128::from(micro_lamports);
    2 * LAMPORTS_PER_SIGNATURE + u64::try_from(priority.div_ceil(1_000_000)).unwrap_or(u64::MAX / 2)
}
