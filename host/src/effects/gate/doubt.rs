//! The rules of doubt: what may be done about a call whose answer nobody has.

use std::time::Duration;

use super::failpoint::{self, Plant};
use crate::{
    effects::Stop,
    journal::{Class, EffectState, Recorded},
};

/// What to do about an open call, once its sender is surely gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It surely did not happen, or a repeat under the same id does no harm.
    Send,
    Ask,
}

/// `remembers`: how long after the first try the other side surely knows the call again.
pub(super) fn next(row: &Recorded, class: Class, remembers: Duration) -> Result<Next, Stop> {
    match (row.state, class) {
        // A frozen host may still be sending.
        (EffectState::Started, _) if !row.settle_in.is_zero() && !failpoint::is_planted(Plant::EarlyDoubt) => {
            Err(Stop::Snooze {
                message: format!("effect {} is in doubt, and its sender may still be alive", row.seq),
                after: Some(row.settle_in),
            })
        }
        (EffectState::Started | EffectState::Doubt, Class::Once) => Err(Stop::Park {
            message: format!(
                "effect {} ({}.{}) was sent and its answer was lost: {}",
                row.seq,
                row.provider,
                row.function,
                row.note.as_deref().unwrap_or("the host that sent it died")
            ),
        }),
        // By now a repeat under the same id might be done a second time.
        (EffectState::Started | EffectState::Doubt, Class::Idempotent) if row.age >= remembers => Err(Stop::Park {
            message: format!(
                "effect {} ({}.{}) was sent {} h ago, and would not be known again by its id",
                row.seq,
                row.provider,
                row.function,
                row.age.as_secs() / 3_600
            ),
        }),
        (EffectState::Started | EffectState::Doubt, Class::Asked) => Ok(Next::Ask),
        (EffectState::Started | EffectState::Doubt, Class::Read | Class::Idempotent | Class::Resend) => Ok(Next::Send),
        (EffectState::Deferred | EffectState::Ended, _) => Ok(Next::Send),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use serde_json::Value;

    use super::*;
    use crate::ids::{Digest, JobId};

    fn row(state: EffectState, settle_in: Duration) -> Recorded {
        Recorded {
            seq: 0,
            generation: 0,
            effect_id: JobId::new().effect(0, 0),
            provider: "email".to_owned(),
            function: "send".to_owned(),
            class: Class::Once,
            request_hash: [0; 32],
            request: Value::Null,
            state,
            tries: 1,
            release: Digest([0; 32]),
            base_ms: 0,
            ended_ms: None,
            first_at: Utc::now(),
            age: Duration::ZERO,
            started_at: Utc::now(),
            settle_in,
            answer: None,
            note: None,
        }
    }

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn next(row: &Recorded, class: Class) -> Result<Next, Stop> {
        super::next(row, class, DAY)
    }

    #[test]
    fn a_repeat_that_would_not_be_known_again_is_a_persons_decision() {
        for state in [EffectState::Started, EffectState::Doubt] {
            let mut row = row(state, Duration::ZERO);
            row.age = DAY - Duration::from_secs(1);
            assert_eq!(next(&row, Class::Idempotent), Ok(Next::Send));
            row.age = DAY;
            assert!(matches!(next(&row, Class::Idempotent), Err(Stop::Park { .. })));
            assert_eq!(next(&row, Class::Resend), Ok(Next::Send));
        }
        let mut row = row(EffectState::Deferred, Duration::ZERO);
        row.age = DAY * 2;
        assert_eq!(next(&row, Class::Idempotent), Ok(Next::Send), "nothing was sent");
    }

    #[test]
    fn doubt_is_settled_by_class_and_not_before_its_sender_is_surely_gone() {
        let soon = Duration::from_secs(3);
        let classes = [Class::Read, Class::Idempotent, Class::Asked, Class::Resend, Class::Once];
        for class in classes {
            let alive = next(&row(EffectState::Started, soon), class);
            assert!(matches!(alive, Err(Stop::Snooze { after: Some(d), .. }) if d == soon), "{class:?}");
            assert_eq!(next(&row(EffectState::Deferred, soon), class), Ok(Next::Send), "{class:?}");
        }
        for state in [EffectState::Started, EffectState::Doubt] {
            let row = row(state, Duration::ZERO);
            for class in [Class::Read, Class::Idempotent, Class::Resend] {
                assert_eq!(next(&row, class), Ok(Next::Send), "{class:?}");
            }
            assert_eq!(next(&row, Class::Asked), Ok(Next::Ask));
            assert!(matches!(next(&row, Class::Once), Err(Stop::Park { .. })));
        }
    }
}
