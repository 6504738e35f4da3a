//! What the journal says of a call's place: the part of the gate that a script shares.

use serde_json::Value;

use super::identity;
use crate::{
    effects::{Attempt, Prepared, Refused, Stop, card},
    journal::{Answer, Recorded},
};

/// A call as the journal tells it from others.
pub(in crate::effects) struct Asking<'a> {
    pub provider: &'static str,
    pub function: &'static str,
    pub identity: &'a Value,
    /// As the journal holds it, without numbers of cards. Null where the call was refused: it may hold anything.
    pub redacted: Value,
    pub request_hash: [u8; 32],
}

/// What is known of it.
pub(in crate::effects) enum Known<'a> {
    /// Answered by an earlier attempt; the guest's clock stands at that answer's time.
    Answered(Answer),
    /// Begun by an earlier attempt.
    Open(&'a Recorded),
    New,
}

impl<'a> Asking<'a> {
    pub fn of<C>(provider: &'static str, prepared: &'a Result<Prepared<C>, Refused>) -> Self {
        let (function, identity, redacted) = match prepared {
            Ok(call) => (call.function, &call.identity, &call.redacted),
            Err(refused) => (refused.function, &refused.identity, &Value::Null),
        };
        let request_hash = identity::request_hash(provider, function, identity);
        let mut redacted = redacted.clone();
        card::veil(&mut redacted);
        Self { provider, function, identity, redacted, request_hash }
    }

    /// Another request than the one journaled at this place ends the attempt.
    pub fn known<'j>(&self, attempt: &'j Attempt, seq: u32) -> Result<Known<'j>, Stop> {
        match attempt.recorded(seq) {
            None => Ok(Known::New),
            Some(row) if row.request_hash != self.request_hash => {
                let message = identity::difference(row, self.provider, self.function, &self.redacted);
                Err(Stop::Nondeterministic { message })
            }
            Some(Recorded { answer: Some(answer), ended_ms, .. }) => {
                attempt.advance_clock(ended_ms.unwrap_or_else(|| attempt.now_ms()));
                Ok(Known::Answered(answer.clone()))
            }
            Some(row) => Ok(Known::Open(row)),
        }
    }
}
