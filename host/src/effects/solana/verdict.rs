//! What there is to do about a mint, from what became of all that was signed for it.

use serde_json::Value;

use super::confirm::Fate;
use crate::journal::mints::Try;

/// What all that was signed comes to.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The try at this place minted.
    Minted(usize, u64),
    /// It did, and what it minted is something else.
    Taken,
    /// One is on the chain, and not yet at the commitment.
    Wait,
    /// This one may still land.
    Resend(usize),
    /// This one is on the chain, to no effect.
    Failed(usize, Value),
    /// None of them can land any more.
    Sign,
    /// Nobody says.
    Untold,
}

pub(super) fn verdict(tries: &[Try], fates: &[Fate], request_hash: &[u8]) -> Verdict {
    let landed = fates.iter().enumerate().find_map(|(n, fate)| match fate {
        Fate::Landed { slot } => Some((n, *slot)),
        _ => None,
    });
    if let Some((n, slot)) = landed {
        return if tries[n].request_hash == request_hash { Verdict::Minted(n, slot) } else { Verdict::Taken };
    }
    if fates.contains(&Fate::Pending) {
        return Verdict::Wait;
    }
    // Newest first; those of which the end is written down are over.
    let mut open = tries.iter().zip(fates).enumerate().rev().filter(|(_, (one, _))| one.outcome.is_none());
    open.find_map(|(n, (_, fate))| match fate {
        Fate::Failed(err) => Some(Verdict::Failed(n, err.clone())),
        Fate::Open => Some(Verdict::Resend(n)),
        Fate::Untold => Some(Verdict::Untold),
        Fate::Gone | Fate::Pending | Fate::Landed { .. } => None,
    })
    .unwrap_or(Verdict::Sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::JobId, journal::mints::Outcome};

    fn one(number: i32, outcome: Option<Outcome>) -> Try {
        Try {
            number,
            effect: JobId::new().effect(0, 0),
            request_hash: vec![7; 32],
            mint: String::new(),
            token_account: String::new(),
            signature: String::new(),
            transaction: Vec::new(),
            last_valid_block_height: 0,
            fee_lamports: 0,
            rent_lamports: 0,
            outcome,
        }
    }

    #[test]
    fn nothing_is_signed_anew_while_something_may_land() {
        let hash = [7; 32];
        let open = [one(1, Some(Outcome::Expired)), one(2, None)];
        for (fate, expected) in [
            (Fate::Open, Verdict::Resend(1)),
            (Fate::Untold, Verdict::Untold),
            (Fate::Pending, Verdict::Wait),
            (Fate::Gone, Verdict::Sign),
            (Fate::Failed(Value::Null), Verdict::Failed(1, Value::Null)),
            (Fate::Landed { slot: 9 }, Verdict::Minted(1, 9)),
        ] {
            assert_eq!(verdict(&open, &[Fate::Gone, fate], &hash), expected);
        }
        // What was written off and landed all the same is believed, as is an earlier one of two.
        let off = [one(1, Some(Outcome::Refused)), one(2, Some(Outcome::Expired))];
        assert_eq!(verdict(&off, &[Fate::Landed { slot: 3 }, Fate::Untold], &hash), Verdict::Minted(0, 3));
        assert_eq!(verdict(&off, &[Fate::Pending, Fate::Gone], &hash), Verdict::Wait);
        assert_eq!(verdict(&off, &[Fate::Open, Fate::Untold], &hash), Verdict::Sign);
        assert_eq!(verdict(&off, &[Fate::Landed { slot: 3 }, Fate::Gone], &[8; 32]), Verdict::Taken);
        assert_eq!(verdict(&[], &[], &hash), Verdict::Sign);
    }
}
