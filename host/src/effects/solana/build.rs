//! From a checked request to a transaction: the parts that both standards share.

use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

/// What the chain takes for an account to stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rent {
    lamports_per_byte: u64,
}

impl Rent {
    /// Each account counts for so many bytes more than it has.
    const OVERHEAD: u64 = 128;

    /// From what the chain takes for an account without data.
    pub fn from_empty(lamports: u64) -> Self {
        Self { lamports_per_byte: lamports.div_ceil(Self::OVERHEAD) }
    }

    pub fn of(self, size: usize) -> u64 {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        self.lamports_per_byte.saturating_mul(size.saturating_add(Self::OVERHEAD))
    }
}

/// At most what a mint takes beside its fee, in lamports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub rent: u64,
    /// What a program takes for itself.
    pub extra: u64,
}

/// All that is signed but the blockhash.
#[derive(Debug)]
pub(super) struct Plan {
    pub instructions: Vec<Instruction>,
    pub token_account: Pubkey,
    pub costs: Costs,
}

impl Plan {
    /// With the operator's policy of fees in front.
    pub fn with_budget(mut self, compute_units: u32, micro_lamports: u64) -> Self {
        let budget = [
            ComputeBudgetInstruction::set_compute_unit_limit(compute_units),
            ComputeBudgetInstruction::set_compute_unit_price(micro_lamports),
        ];
        self.instructions.splice(0..0, budget);
        self
    }
}

/// The account in which a wallet holds tokens of a mint.
pub(super) fn token_account(owner: &Pubkey, mint: &Pubkey, program: &Pubkey) -> Pubkey {
    spl_associated_token_account_interface::address::get_associated_token_address_with_program_id(owner, mint, program)
}

/// Anybody may have made it before, with the address of the mint; that does no harm.
pub(super) fn create_token_account(payer: &Pubkey, owner: &Pubkey, mint: &Pubkey, program: &Pubkey) -> Instruction {
    spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent(
        payer, owner, mint, program,
    )
}
