//! Metaplex Token Metadata: a mint of SPL Token, and beside it the accounts that wallets of that kind look for. The
//! program's instructions are laid out as it documents them (borsh; one byte says which).

use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use spl_token_2022_interface::{
    inline_spl_token::ID as SPL_TOKEN,
    instruction::{initialize_mint2, mint_to},
};

use super::{
    build::{Costs, Plan, Rent, create_token_account, token_account},
    nft::Nft,
};

/// Metaplex Token Metadata.
const PROGRAM: Pubkey = Pubkey::from_str_const("metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s");

const CREATE_METADATA_ACCOUNT_V3: u8 = 33;
const CREATE_MASTER_EDITION_V3: u8 = 17;
const VERIFY_COLLECTION: u8 = 18;
const VERIFY_SIZED_COLLECTION_ITEM: u8 = 30;

/// Sizes of accounts, in bytes: the largest that any version of the program made.
const MINT: usize = 82;
const TOKEN_ACCOUNT: usize = 165;
const METADATA: usize = 679;
const EDITION: usize = 282;
/// What the program itself takes for a new token, in lamports.
const PROGRAM_FEE: u64 = 10_000_000;

/// What the chain says of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Collection {
    pub mint: Pubkey,
    pub update_authority: Pubkey,
    /// It counts its items, so that they are verified by another instruction.
    pub is_sized: bool,
}

pub(super) fn metadata_of(mint: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[b"metadata", PROGRAM.as_ref(), mint.as_ref()], &PROGRAM).0
}

fn edition_of(mint: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[b"metadata", PROGRAM.as_ref(), mint.as_ref(), b"edition"], &PROGRAM).0
}

pub(super) fn plan(
    nft: &Nft,
    collection: Option<Collection>,
    wallet: &Pubkey,
    mint: &Pubkey,
    rent: Rent,
) -> Result<Plan, String> {
    let told = |e: &dyn std::fmt::Display| format!("the instructions cannot be made: {e}");
    let token = token_account(&nft.recipient, mint, &SPL_TOKEN);
    let mut all = vec![
        solana_system_interface::instruction::create_account(wallet, mint, rent.of(MINT), MINT as u64, &SPL_TOKEN),
        // The edition takes both authorities over.
        initialize_mint2(&SPL_TOKEN, mint, wallet, Some(wallet), 0).map_err(|e| told(&e))?,
        create_token_account(wallet, &nft.recipient, mint, &SPL_TOKEN),
        mint_to(&SPL_TOKEN, mint, &token, wallet, &[], 1).map_err(|e| told(&e))?,
        create_metadata(nft, wallet, mint),
        create_master_edition(wallet, mint),
    ];
    // Another's collection is named and stays unverified, as it would be for anybody.
    if let Some(own) = collection.filter(|collection| collection.update_authority == *wallet) {
        all.push(verify(own, wallet, mint));
    }
    let sizes = [MINT, TOKEN_ACCOUNT, METADATA, EDITION];
    let rents = sizes.into_iter().fold(0, |sum: u64, size| sum.saturating_add(rent.of(size)));
    Ok(Plan { instructions: all, token_account: token, costs: Costs { rent: rents, extra: PROGRAM_FEE } })
}

/// Accounts and arguments as in the program's `CreateMetadataAccountV3`.
fn create_metadata(nft: &Nft, wallet: &Pubkey, mint: &Pubkey) -> Instruction {
    let mut data = vec![CREATE_METADATA_ACCOUNT_V3];
    for text in [&nft.name, &nft.symbol, &nft.uri] {
        string(&mut data, text);
    }
    data.extend_from_slice(&nft.royalty_bps.to_le_bytes());
    // One creator, the wallet, which signs here and so is verified: all royalties are its.
    data.push(1);
    data.extend_from_slice(&1_u32.to_le_bytes());
    data.extend_from_slice(wallet.as_ref());
    data.extend_from_slice(&[1, 100]);
    match &nft.collection {
        Some(collection) => {
            // Not verified yet.
            data.extend_from_slice(&[1, 0]);
            data.extend_from_slice(collection.as_ref());
        }
        None => data.push(0),
    }
    // No uses; it may be changed by its update authority; it is no collection.
    data.extend_from_slice(&[0, 1, 0]);
    let accounts = vec![
        AccountMeta::new(metadata_of(mint), false),
        AccountMeta::new_readonly(*mint, false),
        AccountMeta::new_readonly(*wallet, true),
        AccountMeta::new(*wallet, true),
        AccountMeta::new_readonly(*wallet, true),
        AccountMeta::new_readonly(solana_system_interface::program::ID, false),
    ];
    Instruction { program_id: PROGRAM, accounts, data }
}

/// As in `CreateMasterEditionV3`, with a supply of none: no prints.
fn create_master_edition(wallet: &Pubkey, mint: &Pubkey) -> Instruction {
    let mut data = vec![CREATE_MASTER_EDITION_V3, 1];
    data.extend_from_slice(&0_u64.to_le_bytes());
    let accounts = vec![
        AccountMeta::new(edition_of(mint), false),
        AccountMeta::new(*mint, false),
        AccountMeta::new_readonly(*wallet, true),
        AccountMeta::new_readonly(*wallet, true),
        AccountMeta::new(*wallet, true),
        AccountMeta::new(metadata_of(mint), false),
        AccountMeta::new_readonly(SPL_TOKEN, false),
        AccountMeta::new_readonly(solana_system_interface::program::ID, false),
    ];
    Instruction { program_id: PROGRAM, accounts, data }
}

/// As in `VerifyCollection` and `VerifySizedCollectionItem`, whose accounts come in the same order.
fn verify(collection: Collection, wallet: &Pubkey, mint: &Pubkey) -> Instruction {
    let its_metadata = metadata_of(&collection.mint);
    let accounts = vec![
        AccountMeta::new(metadata_of(mint), false),
        AccountMeta::new(*wallet, true),
        AccountMeta::new(*wallet, true),
        AccountMeta::new_readonly(collection.mint, false),
        // A sized one counts up.
        if collection.is_sized {
            AccountMeta::new(its_metadata, false)
        } else {
            AccountMeta::new_readonly(its_metadata, false)
        },
        AccountMeta::new_readonly(edition_of(&collection.mint), false),
    ];
    let which = if collection.is_sized { VERIFY_SIZED_COLLECTION_ITEM } else { VERIFY_COLLECTION };
    Instruction { program_id: PROGRAM, accounts, data: vec![which] }
}

fn string(data: &mut Vec<u8>, text: &str) {
    // Bounded by what a request may hold.
    data.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    data.extend_from_slice(text.as_bytes());
}

/// Reads the metadata account of a collection. `None`: it is none.
pub(super) fn read_collection(mint: Pubkey, owner: &Pubkey, account: &[u8]) -> Option<Collection> {
    let mut rest = Bytes(account);
    // The kind of account, then its fields in order.
    if *owner != PROGRAM || rest.byte()? != 4 {
        return None;
    }
    let update_authority = rest.address()?;
    if rest.address()? != mint {
        return None;
    }
    for _ in 0..3 {
        rest.string()?;
    }
    rest.take(2)?;
    if rest.flag()? {
        let creators = rest.length()?;
        rest.take(creators.checked_mul(34)?)?;
    }
    rest.take(2)?;
    // Nonce of the edition, standard of the token, its own collection, its uses.
    for size in [1, 1, 33, 17] {
        if rest.flag()? {
            rest.take(size)?;
        }
    }
    // Older accounts end before this field.
    let is_sized = rest.flag().unwrap_or(false);
    Some(Collection { mint, update_authority, is_sized })
}

/// Borsh, as far as it is met here.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.byte()? == 1)
    }

    fn length(&mut self) -> Option<usize> {
        let bytes: [u8; 4] = self.take(4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    }

    fn string(&mut self) -> Option<()> {
        let length = self.length()?;
        self.take(length).map(drop)
    }

    fn address(&mut self) -> Option<Pubkey> {
        let bytes: [u8; 32] = self.take(32)?.try_into().ok()?;
        Some(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(mint: &Pubkey, authority: &Pubkey, tail: &[u8]) -> Vec<u8> {
        let mut account = vec![4];
        account.extend_from_slice(authority.as_ref());
        account.extend_from_slice(mint.as_ref());
        for text in ["Arena\0\0\0", "ARN", "https://example.com"] {
            string(&mut account, text);
        }
        account.extend_from_slice(&[0, 0, 1]);
        account.extend_from_slice(&1_u32.to_le_bytes());
        account.extend_from_slice(&[9; 34]);
        // Not sold, mutable; a nonce, a standard, no collection, no uses.
        account.extend_from_slice(&[0, 1, 1, 255, 1, 0, 0, 0]);
        account.extend_from_slice(tail);
        account
    }

    #[test]
    fn a_collection_is_read_as_it_stands_on_the_chain() {
        let (mint, authority) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
        let read = |tail: &[u8]| read_collection(mint, &PROGRAM, &account(&mint, &authority, tail));
        let sized = |is_sized| Some(Collection { mint, update_authority: authority, is_sized });
        assert_eq!(read(&[0, 0]), sized(false));
        assert_eq!(read(&[1, 0, 5, 0, 0, 0, 0, 0, 0, 0]), sized(true));
        assert_eq!(read(&[]), sized(false), "an older account");
        let bytes = account(&mint, &authority, &[0]);
        assert_eq!(read_collection(authority, &PROGRAM, &bytes), None, "another mint's");
        assert_eq!(read_collection(mint, &mint, &bytes), None, "of another program");
        assert_eq!(read_collection(mint, &PROGRAM, &bytes[..60]), None, "cut off");
    }

    #[test]
    fn a_sized_collection_is_verified_by_its_own_instruction_which_writes_to_it() {
        let (wallet, mint) = (Pubkey::new_from_array([2; 32]), Pubkey::new_from_array([1; 32]));
        for (is_sized, which) in [(true, VERIFY_SIZED_COLLECTION_ITEM), (false, VERIFY_COLLECTION)] {
            let made = verify(Collection { mint, update_authority: wallet, is_sized }, &wallet, &mint);
            assert_eq!((made.data.as_slice(), made.accounts[4].is_writable), ([which].as_slice(), is_sized));
        }
    }
}
