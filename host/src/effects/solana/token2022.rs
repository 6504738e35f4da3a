//! Token-2022: one mint account that holds its own metadata.
//!
//! Royalty and collection are entries of the additional metadata. The group extensions are not used: a member needs the
//! collection's own account, written by each mint, so that all mints of an event would stand in one line, and a collection
//! that was made with them. Who made a token is told by its update authority, which is the operator's wallet.

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use spl_token_2022_interface::{
    ID as TOKEN_2022,
    extension::{ExtensionType, metadata_pointer},
    instruction::{AuthorityType, initialize_mint2, mint_to, set_authority},
    state::{Account, Mint},
};
use spl_token_metadata_interface::{
    instruction::{initialize, update_field},
    state::{Field, TokenMetadata},
};

use super::{
    build::{Costs, Plan, Rent, create_token_account, token_account},
    nft::{COLLECTION, Nft, ROYALTY},
};

pub(super) fn plan(nft: &Nft, wallet: &Pubkey, mint: &Pubkey, rent: Rent) -> Result<Plan, String> {
    let told = |e: &dyn std::fmt::Display| format!("the instructions cannot be made: {e}");
    let mut fields = nft.attributes.clone();
    if nft.royalty_bps > 0 {
        fields.push((ROYALTY.to_owned(), nft.royalty_bps.to_string()));
    }
    fields.extend(nft.collection.map(|collection| (COLLECTION.to_owned(), collection.to_string())));

    let metadata = TokenMetadata {
        mint: *mint,
        name: nft.name.clone(),
        symbol: nft.symbol.clone(),
        uri: nft.uri.clone(),
        additional_metadata: fields.clone(),
        ..TokenMetadata::default()
    };
    let bare =
        ExtensionType::try_calculate_account_len::<Mint>(&[ExtensionType::MetadataPointer]).map_err(|e| told(&e))?;
    let whole = bare + metadata.tlv_size_of().map_err(|e| told(&e))?;
    let owned =
        ExtensionType::try_calculate_account_len::<Account>(&[ExtensionType::ImmutableOwner]).map_err(|e| told(&e))?;
    let token = token_account(&nft.recipient, mint, &TOKEN_2022);

    let mut all = vec![
        // Made without room for the metadata, but with the rent for it: the program makes the room.
        solana_system_interface::instruction::create_account(
            wallet,
            mint,
            rent.of(whole),
            u64::try_from(bare).unwrap_or(u64::MAX),
            &TOKEN_2022,
        ),
        metadata_pointer::instruction::initialize(&TOKEN_2022, mint, None, Some(*mint)).map_err(|e| told(&e))?,
        initialize_mint2(&TOKEN_2022, mint, wallet, None, 0).map_err(|e| told(&e))?,
        initialize(&TOKEN_2022, mint, wallet, mint, wallet, nft.name.clone(), nft.symbol.clone(), nft.uri.clone()),
    ];
    let updates =
        fields.into_iter().map(|(name, value)| update_field(&TOKEN_2022, mint, wallet, Field::Key(name), value));
    all.extend(updates);
    let closing: [Instruction; 3] = [
        create_token_account(wallet, &nft.recipient, mint, &TOKEN_2022),
        mint_to(&TOKEN_2022, mint, &token, wallet, &[], 1).map_err(|e| told(&e))?,
        // Nobody mints a second one.
        set_authority(&TOKEN_2022, mint, None, AuthorityType::MintTokens, wallet, &[]).map_err(|e| told(&e))?,
    ];
    all.extend(closing);
    Ok(Plan {
        instructions: all,
        token_account: token,
        costs: Costs { rent: rent.of(whole).saturating_add(rent.of(owned)), extra: 0 },
    })
}
