//! What became of signed transactions, by the word of the nodes.

use serde_json::Value;

use super::rpc::{Look, Status};
use crate::{config::SolanaCommitment, journal::mints::Try};

/// So many blocks beyond the last one in which it could have landed, a transaction is believed to be dead: as many as it
/// was good for, should a node have been wrong about how many these were.
const MARGIN: u64 = 150;

/// What is known of a try.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// No node says enough to go by.
    Untold,
    /// Not known, and it may still land.
    Open,
    /// Not known where it would be, well beyond its last block height, in the finalized chain.
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
            Self::Untold | Self::Gone => 0,
            Self::Open => 1,
            Self::Pending => 2,
            Self::Failed(_) => 3,
            Self::Landed { .. } => 4,
        }
    }

    /// What several nodes' words come to. One that knows a signature goes before those that don't. That it is dead is
    /// believed of `quorum` nodes: so many are far enough to know, whoever else is behind.
    pub fn together(words: impl IntoIterator<Item = Self>, quorum: usize) -> Self {
        let (mut best, mut gone) = (Self::Untold, 0);
        for word in words {
            if word == Self::Gone {
                gone += 1;
            } else if word.rank() > best.rank() {
                best = word;
            }
        }
        match best {
            Self::Untold | Self::Open if gone >= quorum => Self::Gone,
            best => best,
        }
    }
}

/// What one node's look says of its n-th try. `finalized`: the highest slot that any node has called final.
pub(super) fn fate(look: &Look, n: usize, one: &Try, commitment: SolanaCommitment, finalized: u64) -> Fate {
    // Where the chain is final and this is not, the chain went another way, and the node did not follow it.
    let is_sound = |status: &&Status| stage(status) == "finalized" || status.slot > finalized;
    let Some(status) = look.seen.get(n).and_then(Option::as_ref).filter(is_sound) else {
        let last = one.last_valid_block_height;
        return match look.block_height {
            height if !look.is_current || height <= last => Fate::Open,
            height if height <= last.saturating_add(MARGIN) => Fate::Untold,
            _ => Fate::Gone,
        };
    };
    match (&status.err, stage(status)) {
        (Some(err), "finalized") => Fate::Failed(err.clone()),
        (None, "finalized") => Fate::Landed { slot: status.slot },
        (None, "confirmed") if commitment == SolanaCommitment::Confirmed => Fate::Landed { slot: status.slot },
        _ => Fate::Pending,
    }
}

fn stage(status: &Status) -> &str {
    status.confirmation_status.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::JobId;

    fn one(last_valid_block_height: u64) -> Try {
        Try {
            number: 1,
            effect: JobId::new().effect(0, 0),
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
        Look { block_height, finalized_slot: 0, is_current, seen: vec![status] }
    }

    #[test]
    fn only_a_node_well_beyond_the_last_height_can_say_that_nothing_landed() {
        let says = |look| fate(&look, 0, &one(100), SolanaCommitment::Finalized, 0);
        assert_eq!(says(look(251, true, None)), Fate::Gone);
        assert_eq!(says(look(250, true, None)), Fate::Untold, "too close to be believed");
        assert_eq!(says(look(101, true, None)), Fate::Untold);
        assert_eq!(says(look(100, true, None)), Fate::Open, "the last height itself is still good");
        assert_eq!(says(look(251, false, None)), Fate::Open, "another machine answered, which is behind");
        assert_eq!(says(look(50, true, None)), Fate::Open);
        assert_eq!(fate(&look(9, true, None), 0, &one(u64::MAX), SolanaCommitment::Finalized, 0), Fate::Open);
    }

    #[test]
    fn a_commitment_is_waited_for_and_a_failure_until_it_is_final() {
        let says = |stage, err, commitment| fate(&look(1, true, Some((err, stage))), 0, &one(100), commitment, 6);
        let err = || Some(json!("AccountInUse"));
        assert_eq!(says("confirmed", None, SolanaCommitment::Finalized), Fate::Pending);
        assert_eq!(says("confirmed", None, SolanaCommitment::Confirmed), Fate::Landed { slot: 7 });
        assert_eq!(says("finalized", None, SolanaCommitment::Finalized), Fate::Landed { slot: 7 });
        assert_eq!(says("processed", None, SolanaCommitment::Confirmed), Fate::Pending);
        assert_eq!(says("confirmed", err(), SolanaCommitment::Confirmed), Fate::Pending);
        assert_eq!(says("finalized", err(), SolanaCommitment::Confirmed), Fate::Failed(json!("AccountInUse")));
    }

    #[test]
    fn what_is_not_final_where_the_chain_is_counts_as_not_seen() {
        let says = |stage, finalized| {
            fate(&look(300, true, Some((None, stage))), 0, &one(100), SolanaCommitment::Confirmed, finalized)
        };
        assert_eq!(says("processed", 6), Fate::Pending);
        assert_eq!(says("processed", 7), Fate::Gone, "the chain is beyond it");
        assert_eq!(says("confirmed", 8), Fate::Gone);
        assert_eq!(says("finalized", 8), Fate::Landed { slot: 7 });
    }

    #[test]
    fn one_node_that_knows_goes_before_all_that_do_not() {
        let landed = || Fate::Landed { slot: 1 };
        for weaker in [Fate::Untold, Fate::Open, Fate::Gone, Fate::Pending] {
            assert_eq!(Fate::together([weaker.clone(), landed()], 1), landed());
            assert_eq!(Fate::together([landed(), weaker], 1), landed());
        }
        assert_eq!(Fate::together([Fate::Gone, Fate::Gone, Fate::Pending], 2), Fate::Pending);
        assert_eq!(Fate::together([], 1), Fate::Untold);
    }

    #[test]
    fn one_node_alone_is_not_believed_that_nothing_landed() {
        assert_eq!(Fate::together([Fate::Gone], 1), Fate::Gone, "there is no other");
        assert_eq!(Fate::together([Fate::Gone], 2), Fate::Untold, "the other does not answer");
        assert_eq!(Fate::together([Fate::Gone, Fate::Open], 2), Fate::Open);
        assert_eq!(Fate::together([Fate::Gone, Fate::Untold], 2), Fate::Untold);
        assert_eq!(Fate::together([Fate::Gone, Fate::Gone], 2), Fate::Gone);
        assert_eq!(Fate::together([Fate::Gone, Fate::Open, Fate::Gone], 2), Fate::Gone, "the third is behind");
    }
}
