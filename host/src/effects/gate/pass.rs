use std::time::Duration;

use serde_json::Value;

use super::{FENCE_AGE, Gate, identity};
use crate::{
    clock::Boottime,
    effects::{Attempt, CallEnd, Prepared, Provider, Refused, Stop},
    ids::EffectId,
    journal::{
        Answer, Class, EffectState, Recorded,
        store::{self, Start},
    },
};

/// A call whose outcome could not be written down is tried for this long before it is left in doubt.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

impl Gate {
    /// The steps, top to bottom.
    pub(super) async fn pass<P: Provider>(
        &self,
        provider: &P,
        attempt: &Attempt,
        seq: u32,
        prepared: Result<Prepared<P::Call>, Refused>,
    ) -> Result<Answer, Stop> {
        let (function, identity, redacted) = match &prepared {
            Ok(call) => (call.function, &call.identity, &call.redacted),
            Err(refused) => (refused.function, &refused.identity, &Value::Null),
        };
        let request_hash = identity::request_hash(P::NAME, function, identity);
        let generation = attempt.recorded(seq).map_or(attempt.generation, |row| row.generation);
        let mut start = Start {
            job: attempt.job,
            tier: attempt.tier,
            lease: attempt.lease,
            seq,
            generation,
            effect_id: attempt.job.effect(seq, generation),
            provider: P::NAME,
            function,
            class: Class::Read,
            request_hash,
            request: redacted,
            release: attempt.release,
            base_ms: attempt.base_ms(),
            timeout: Duration::ZERO,
        };

        // Recorded already?
        let open = match attempt.recorded(seq) {
            None => None,
            Some(row) if row.request_hash != request_hash => {
                let message = identity::difference(row, P::NAME, function, redacted);
                return Err(Stop::Nondeterministic { message });
            }
            Some(Recorded { answer: Some(answer), ended_ms, .. }) => {
                attempt.advance_clock(ended_ms.unwrap_or_else(|| attempt.now_ms()));
                return Ok(answer.clone());
            }
            Some(row) => Some(row),
        };

        // Granted, and well formed?
        let prepared = match &prepared {
            Ok(prepared) => prepared,
            Err(refused) => return self.record_refusal(attempt, &start, refused.answer.clone()).await,
        };
        start.class = prepared.class;
        start.timeout = prepared.timeout;

        // In doubt from an earlier attempt? Then its class decides whether it may be sent again.
        if let Some(row) = open {
            may_send_again(row, prepared.class, prepared.resend)?;
        }

        // Journal start and fence; then the provider, unless too much time went by in between.
        if !self.pulse.is_fresh() {
            return Err(not_now("this node's heartbeat is not confirmed"));
        }
        let asked = Boottime::now();
        let try_no = self.journal_start(&start, open.is_some()).await?;
        let call = OpenCall { attempt, seq, id: start.effect_id, try_no };
        if (asked.elapsed() > FENCE_AGE || !self.pulse.is_fresh()) && !self.fence_again(attempt).await {
            // Not a byte has left, and the row may say so: it is still this try's.
            self.leave_open(&call, EffectState::Deferred, "this node was too slow to send it").await;
            return Err(not_now("this node was too slow between the journal and the call"));
        }
        // The provider keeps its own time-out; this one is for the day it does not.
        let backstop = prepared.timeout + Duration::from_secs(1);
        let end = tokio::time::timeout(backstop, provider.call(start.effect_id, &prepared.call))
            .await
            .unwrap_or_else(|_| CallEnd::Doubt("no answer within the call's time-out".to_owned()));

        // Journal end; then the guest may know.
        self.conclude(&call, prepared, end).await
    }

    async fn record_refusal(&self, attempt: &Attempt, start: &Start<'_>, answer: Answer) -> Result<Answer, Stop> {
        let write = async {
            let mut tx = store::begin_durable(&self.pool).await?;
            let ended = store::record_refusal(&mut tx, start, &answer).await?;
            tx.commit().await?;
            sqlx::Result::Ok(ended)
        };
        match write.await.map_err(|e| database_away(&e))? {
            Some(ended_ms) => {
                attempt.advance_clock(ended_ms);
                Ok(answer)
            }
            None => Err(self.refused(start).await),
        }
    }

    /// Returns the number of this try.
    async fn journal_start(&self, start: &Start<'_>, again: bool) -> Result<i32, Stop> {
        let write = async {
            let mut tx = store::begin_durable(&self.pool).await?;
            let try_no =
                if again { store::restart(&mut tx, start).await? } else { store::start(&mut tx, start).await? };
            tx.commit().await?;
            sqlx::Result::Ok(try_no)
        };
        match write.await.map_err(|e| database_away(&e))? {
            Some(try_no) => Ok(try_no),
            None => Err(self.refused(start).await),
        }
    }

    /// Why the fence let nothing through.
    async fn refused(&self, start: &Start<'_>) -> Stop {
        let ask = async {
            // It waits for whoever writes the row, so it is no mere read; nothing has to be kept.
            let mut db = self.pool.write().await?;
            store::still_mine(&mut db, start.tier, start.job, start.lease).await
        };
        match ask.await {
            // Ours, and yet no start: somebody wants it cancelled.
            Ok(true) => Stop::Cancelled,
            Ok(false) => Stop::LeaseLost,
            Err(error) => database_away(&error),
        }
    }

    async fn fence_again(&self, attempt: &Attempt) -> bool {
        let asked = Boottime::now();
        let ask = async {
            // It waits for whoever writes the row, so it is no mere read; nothing has to be kept.
            let mut db = self.pool.write().await?;
            store::still_mine(&mut db, attempt.tier, attempt.job, attempt.lease).await
        };
        matches!(ask.await, Ok(true)) && asked.elapsed() <= FENCE_AGE && self.pulse.is_fresh()
    }

    async fn conclude<C>(&self, call: &OpenCall<'_>, prepared: &Prepared<C>, end: CallEnd) -> Result<Answer, Stop> {
        let open = async |state, note: &str| self.leave_open(call, state, note).await;
        match end {
            CallEnd::Answer(answer) => self.write_answer(call, answer).await,
            CallEnd::Unreachable(message) => {
                open(EffectState::Deferred, &message).await;
                Err(Stop::Snooze { message, after: None })
            }
            CallEnd::Transient { message, retry_after } => {
                open(EffectState::Deferred, &message).await;
                Err(Stop::Retry { message, after: retry_after })
            }
            CallEnd::Doubt(message) => {
                open(EffectState::Doubt, &message).await;
                if prepared.class == Class::Once && !prepared.resend {
                    Err(Stop::Park { message })
                } else {
                    Err(Stop::Retry { message, after: None })
                }
            }
        }
    }

    /// The answer is a fact that must not be lost to a passing fault of the database.
    async fn write_answer(&self, call: &OpenCall<'_>, answer: Answer) -> Result<Answer, Stop> {
        let mut value = serde_json::json!(answer);
        identity::without_nul(&mut value);
        let answer = serde_json::from_value(value).unwrap_or(answer);
        let began = Boottime::now();
        loop {
            let write = async {
                let mut tx = store::begin_durable(&self.pool).await?;
                let ended = store::end(&mut tx, call.id, call.attempt.job, call.seq, &answer).await?;
                tx.commit().await?;
                sqlx::Result::Ok(ended)
            };
            match write.await {
                Ok(Some(ended_ms)) => {
                    call.attempt.advance_clock(ended_ms);
                    return Ok(answer);
                }
                // An earlier sender's answer came first, and is the journal's: the next attempt reads it.
                Ok(None) => return Err(not_now("the effect was answered by an earlier try")),
                Err(error) if began.elapsed() < WRITE_PATIENCE => {
                    tracing::warn!(error = %error, job.id = %call.attempt.job, "an effect's answer could not be written; trying again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                // The row stays `started`: doubt, to be settled by its class.
                Err(error) => return Err(database_away(&error)),
            }
        }
    }

    /// If this cannot be written the row stays `started`, which is the more careful reading.
    async fn leave_open(&self, call: &OpenCall<'_>, state: EffectState, note: &str) {
        let note = note.replace('\0', "\u{fffd}");
        let write = async {
            let mut tx = store::begin_durable(&self.pool).await?;
            store::leave_open(&mut tx, call.id, call.attempt.job, call.seq, call.try_no, state, &note).await?;
            tx.commit().await
        };
        if let Err(error) = write.await {
            tracing::warn!(error = %error, job.id = %call.attempt.job, "an effect's end could not be written; it stays in doubt");
        }
    }
}

/// A call that the journal says is on its way.
struct OpenCall<'a> {
    attempt: &'a Attempt,
    seq: u32,
    id: EffectId,
    try_no: i32,
}

fn not_now(message: &str) -> Stop {
    Stop::Snooze { message: message.to_owned(), after: Some(Duration::from_secs(1)) }
}

/// The rules of doubt, by class.
fn may_send_again(row: &Recorded, class: Class, resend: bool) -> Result<(), Stop> {
    let repeatable = class != Class::Once || resend;
    match row.state {
        EffectState::Started if !row.settle_in.is_zero() => Err(Stop::Snooze {
            message: format!("effect {} is in doubt, and its sender may still be alive", row.seq),
            after: Some(row.settle_in),
        }),
        EffectState::Started | EffectState::Doubt if !repeatable => Err(Stop::Park {
            message: format!(
                "effect {} ({}.{}) was sent and its answer was lost: {}",
                row.seq,
                row.provider,
                row.function,
                row.note.as_deref().unwrap_or("the host that sent it died")
            ),
        }),
        EffectState::Started | EffectState::Doubt | EffectState::Deferred | EffectState::Ended => Ok(()),
    }
}

fn database_away(error: &sqlx::Error) -> Stop {
    tracing::error!(error = %error, "the journal could not be written");
    Stop::Snooze { message: "the journal could not be written".to_owned(), after: None }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::ids::{Digest, JobId};

    fn row(state: EffectState, settle_in: Duration) -> Recorded {
        Recorded {
            seq: 0,
            generation: 0,
            effect_id: JobId::new().effect(0, 0),
            provider: "email".to_owned(),
            function: "send".to_owned(),
            request_hash: [0; 32],
            request: Value::Null,
            state,
            tries: 1,
            release: Digest([0; 32]),
            base_ms: 0,
            ended_ms: None,
            started_at: Utc::now(),
            settle_in,
            answer: None,
            note: None,
        }
    }

    #[test]
    fn doubt_is_settled_by_class_and_not_before_its_sender_is_surely_gone() {
        let soon = Duration::from_secs(3);
        let started = row(EffectState::Started, Duration::ZERO);
        assert!(
            matches!(may_send_again(&row(EffectState::Started, soon), Class::Read, false), Err(Stop::Snooze { after: Some(d), .. }) if d == soon)
        );
        assert_eq!(may_send_again(&started, Class::Read, false), Ok(()));
        assert_eq!(may_send_again(&started, Class::Idempotent, false), Ok(()));
        assert_eq!(may_send_again(&started, Class::Once, true), Ok(()));
        assert!(matches!(may_send_again(&started, Class::Once, false), Err(Stop::Park { .. })));
        assert!(matches!(may_send_again(&row(EffectState::Doubt, soon), Class::Once, false), Err(Stop::Park { .. })));
        assert_eq!(may_send_again(&row(EffectState::Deferred, soon), Class::Once, false), Ok(()));
    }
}
