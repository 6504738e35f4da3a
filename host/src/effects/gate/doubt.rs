//! The rules of doubt: what may be done about a call whose answer nobody has.

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

pub(super) fn next(row: &Recorded, class: Class) -> Result<Next, Stop> {
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
        (EffectState::Started | EffectState::Doubt, Class::Asked) => Ok(Next::Ask),
        (EffectState::Started | EffectState::Doubt, Class::Read | Class::Idempotent | Class::Resend) => Ok(Next::Send),
        (EffectState::Deferred | EffectState::Ended, _) => Ok(Next::Send),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
