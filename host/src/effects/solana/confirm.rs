//! What became of signed transactions, by the word of the nodes.

use serde_json::Value;

use super::rpc::Look;
use crate::{config::SolanaCommitment, journal::mints::Try};

/// Ordered: of what several nodes say of one try, the greatest is the truth. One that knows a signature goes before those
/// that don't; and one that is far enough to know that it cannot land any more, before those that are behind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// No node said anything.
    Untold,
    /// Not known, and it may still land.
    Open,
    /// Not known where it would be, beyond its last block height, in the finalized chain.
    Gone,
    /// Known, and not yet at the commitment.
    Pending,
    /// On the finalized chain, to no effect.
    Failed(Value),
    /// It minted.
    Landed { slot: u64 },
}

impl Fate {
    fn rank(&self) -> u8 {
        match self {
            Self::Untold => 0,
            Self::Open => 1,
            Self::Gone => 2,
            Self::Pending => 3,
            Self::Failed(_) => 4,
            Self::Landed { .. } => 5,
        }
    }

    pub fn or(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }
}

/// What one node's look says of its n-th try.
pub(super) fn fate(look: &Look, n: usize, one: &Try, commitment: SolanaCommitment) -> Fate {
    let Some(status) = look.seen.get(n).and_then(Option::as_ref) else {
        return if look.is_current && look.block_height > one.last_valid_block_height {
            Fate::Gone
        } else {
            Fate::Open
        };
    };
    let stage = status.confirmation_status.as_deref();
    match (&status.err, stage) {
        (Some(err), Some("finalized")) => Fate::Failed(err.clone()),
        (None, Some("finalized")) => Fate::Landed { slot: status.slot },
        (None, Some("confirmed")) if commitment == SolanaCommitment::Confirmed => Fate::Landed { slot: status.slot },
        _ => Fate::Pending,
    }
}

/// What an error of a transaction means, whether a node's check foresaw it or the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This very transaction has landed.
    Processed,
    /// The node does not know the blockhash, yet or any more.
    Stale,
    /// The wallet cannot pay.
    Funds,
    /// The mint is there already.
    Exists,
    /// It would fail for ever: the provider's word and its details.
    Wrong { code: String, message: String },
}

/// The two instructions of the budget stand before the one that makes the mint.
const MAKES_MINT: u64 = 2;
/// `SystemError`: the account is there; and what a transfer beyond the balance gives, also from inside another program.
const ALREADY_IN_USE: u64 = 0;
const NEGATIVE_BALANCE: u64 = 1;

pub(super) fn meaning(err: &Value) -> Meaning {
    let word = err.as_str().or_else(|| err.as_object()?.keys().next().map(String::as_str)).unwrap_or("unknown");
    let instruction = err["InstructionError"][0].as_u64();
    let details = &err["InstructionError"][1];
    match word {
        "AlreadyProcessed" => Meaning::Processed,
        "BlockhashNotFound" => Meaning::Stale,
        "AccountNotFound" | "InsufficientFundsForFee" | "InsufficientFundsForRent" => Meaning::Funds,
        "InstructionError" if instruction == Some(MAKES_MINT) && details["Custom"] == ALREADY_IN_USE => Meaning::Exists,
        "InstructionError" if details["Custom"] == NEGATIVE_BALANCE || details == "InsufficientFunds" => Meaning::Funds,
        word => Meaning::Wrong {
            code: word.chars().take(64).collect(),
            message: err.to_string().chars().take(300).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::effects::solana::rpc::Status;

    fn one(last_valid_block_height: u64) -> Try {
        Try {
            number: 1,
            request_hash: vec![0; 32],
            mint: String::new(),
            token_account: String::new(),
            signature: String::new(),
            transaction: Vec::new(),
            last_valid_block_height,
            fee_lamports: 0,
            rent_lamports: 0,
            outcome: None,
        }
    }

    fn look(block_height: u64, is_current: bool, seen: Option<(Option<Value>, &str)>) -> Look {
        let status = seen.map(|(err, stage)| Status { slot: 7, err, confirmation_status: Some(stage.to_owned()) });
        Look { block_height, is_current, seen: vec![status] }
    }

    #[test]
    fn only_a_node_beyond_the_last_height_can_say_that_nothing_landed() {
        let says = |look| fate(&look, 0, &one(100), SolanaCommitment::Finalized);
        assert_eq!(says(look(101, true, None)), Fate::Gone);
        assert_eq!(says(look(100, true, None)), Fate::Open, "the last height itself is still good");
        assert_eq!(says(look(101, false, None)), Fate::Open, "another machine answered, which is behind");
        assert_eq!(says(look(50, true, None)), Fate::Open);
    }

    #[test]
    fn a_commitment_is_waited_for_and_a_failure_until_it_is_final() {
        let says = |stage, err, commitment| fate(&look(1, true, Some((err, stage))), 0, &one(100), commitment);
        let err = || Some(json!("AccountInUse"));
        assert_eq!(says("confirmed", None, SolanaCommitment::Finalized), Fate::Pending);
        assert_eq!(says("confirmed", None, SolanaCommitment::Confirmed), Fate::Landed { slot: 7 });
        assert_eq!(says("finalized", None, SolanaCommitment::Finalized), Fate::Landed { slot: 7 });
        assert_eq!(says("processed", None, SolanaCommitment::Confirmed), Fate::Pending);
        assert_eq!(says("confirmed", err(), SolanaCommitment::Confirmed), Fate::Pending);
        assert_eq!(says("finalized", err(), SolanaCommitment::Confirmed), Fate::Failed(json!("AccountInUse")));
    }

    #[test]
    fn one_node_that_knows_goes_before_all_that_do_not() {
        let landed = || Fate::Landed { slot: 1 };
        for weaker in [Fate::Untold, Fate::Open, Fate::Gone, Fate::Pending] {
            assert_eq!(weaker.clone().or(landed()), landed());
            assert_eq!(landed().or(weaker), landed());
        }
        assert_eq!(Fate::Open.or(Fate::Gone), Fate::Gone, "those who are behind don't make it doubtful");
        assert_eq!(Fate::Gone.or(Fate::Pending), Fate::Pending);
    }

    #[test]
    fn errors_are_told_apart() {
        assert_eq!(meaning(&json!("AlreadyProcessed")), Meaning::Processed);
        assert_eq!(meaning(&json!({"InstructionError": [2, {"Custom": 0}]})), Meaning::Exists);
        assert_eq!(meaning(&json!({"InstructionError": [2, {"Custom": 1}]})), Meaning::Funds);
        assert_eq!(meaning(&json!({"InsufficientFundsForRent": {"account_index": 0}})), Meaning::Funds);
        let wrong = meaning(&json!({"InstructionError": [7, {"Custom": 80}]}));
        assert!(matches!(wrong, Meaning::Wrong { code, .. } if code == "InstructionError"));
    }
}
