//! Sending what was signed, and what a refusal of it says.

use std::time::Duration;

use super::{
    course::Course,
    meaning::{Meaning, meaning, refused},
    transport::Fault,
};
use crate::{
    clock::Boottime,
    effects::CallEnd,
    journal::mints::{self, Outcome, Try},
};

/// The same bytes are sent again this often: nodes drop what they have no room for.
const AGAIN: Duration = Duration::from_secs(2);

/// What came of sending.
enum Sent {
    /// It is on its way, or may be.
    Perhaps,
    /// Every node that answered has tried it, and did not send it on.
    Refused(Meaning),
    /// No node has read it.
    Not(Fault),
}

impl Course<'_> {
    /// Sends a try, unless it was sent a moment ago. `Some`: it surely does not happen.
    pub(super) async fn resend(&mut self, one: &mut Try) -> Option<CallEnd> {
        if self.sent_at.is_some_and(|at| at.elapsed() < AGAIN) {
            return None;
        }
        self.sent_at = Some(Boottime::now());
        // What an earlier call may have sent cannot be refused any more: it lands, or its time goes by.
        let is_first = self.fresh == Some(one.number) && !self.is_out;
        match self.send(&one.transaction).await {
            Sent::Perhaps => {
                self.is_out = true;
                None
            }
            // The same bytes may be sent when there is money, or when whatever is in their way has passed.
            Sent::Refused(meaning @ (Meaning::Funds | Meaning::NotNow(_))) if !self.is_out => {
                let waits_for_money = meaning == Meaning::Funds;
                self.unsent = refused(meaning);
                let is_over = waits_for_money && (is_first || !self.is_doubted().await);
                is_over.then(|| self.unsent.clone())
            }
            Sent::Refused(Meaning::Stale) if is_first => {
                let message = "no node of the profile knows the blockhash yet".to_owned();
                self.unsent = CallEnd::Transient { message, retry_after: None };
                self.sent_at = None;
                None
            }
            Sent::Refused(meaning) if !is_first => {
                tracing::debug!(?meaning, "a node refuses what was sent before");
                let message = "what was signed before is refused now, and not yet known to be dead".to_owned();
                self.unsent = CallEnd::Unreachable(message);
                None
            }
            Sent::Refused(meaning) => {
                self.conclude(one, Outcome::Refused).await;
                Some(refused(meaning))
            }
            Sent::Not(fault) => {
                self.sent_at = None;
                self.unsent = unsent(&fault);
                let is_short = matches!(fault, Fault::Limited(after) if after < self.call.profile.config.timeout / 4);
                (is_first && !is_short).then(|| self.unsent.clone())
            }
        }
    }

    /// An earlier call may have sent it, for all that was written down.
    async fn is_doubted(&self) -> bool {
        let doubted = async {
            let mut db = self.mints.pool.read().await?;
            mints::is_doubted(&mut db, self.call.job, self.sending.id).await
        };
        doubted.await.unwrap_or(true)
    }

    async fn send(&self, transaction: &[u8]) -> Sent {
        let nodes = &self.call.profile.nodes;
        let mut outcome = Sent::Not(Fault::Away("the profile has no node".to_owned()));
        for node in nodes.in_order() {
            let Err(fault) = node.send(self.sending.id, transaction).await else {
                nodes.answered(node);
                return Sent::Perhaps;
            };
            tracing::debug!(node = node.place, fault = %fault, "a node did not take a transaction");
            outcome = match (fault, outcome) {
                // It may have sent it on; the same bytes to the next node do no harm.
                (Fault::Lost(_), _) | (_, Sent::Perhaps) => Sent::Perhaps,
                (Fault::Said { code: PREFLIGHT, err, .. }, before) => match (meaning(&err), before) {
                    (Meaning::Processed, _) => Sent::Perhaps,
                    // One that is behind, or cannot try it, says less than one that has tried it.
                    (Meaning::Stale | Meaning::NotNow(_), before @ Sent::Refused(_)) => before,
                    (meaning, _) => Sent::Refused(meaning),
                },
                (Fault::Said { code, message, .. }, before) if NOT_READ.contains(&code) => match before {
                    Sent::Not(_) => Sent::Not(Fault::Busy { message, after: None }),
                    before => before,
                },
                (Fault::Said { .. }, _) => Sent::Perhaps,
                (fault @ (Fault::Away(_) | Fault::Limited(_) | Fault::Busy { .. }), Sent::Not(_)) => Sent::Not(fault),
                (_, before) => before,
            };
        }
        outcome
    }
}

/// A node has tried the transaction, it would fail, and it was not sent on.
const PREFLIGHT: i64 = -32002;
/// Answers to what was not even tried: bad signature, node unhealthy or behind, malformed, no such method, no such context.
const NOT_READ: [i64; 6] = [-32003, -32005, -32016, -32600, -32601, -32602];

/// Nothing was sent.
pub(super) fn unsent(fault: &Fault) -> CallEnd {
    match fault {
        Fault::Busy { message, after } => CallEnd::Transient { message: message.clone(), retry_after: *after },
        Fault::Away(_) | Fault::Limited(_) => CallEnd::Unreachable(fault.to_string()),
        // A question, whose answer was lost or is an error.
        Fault::Lost(_) | Fault::Said { .. } => CallEnd::Transient { message: fault.to_string(), retry_after: None },
    }
}
