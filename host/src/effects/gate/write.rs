//! What the gate writes into the journal. Every commit here is durable, whatever the tier of the job.

use std::{sync::Arc, time::Duration};

use super::{FENCE_AGE, Gate, identity};
use crate::{
    clock::Boottime,
    effects::{Attempt, Stop},
    ids::EffectId,
    journal::{
        Answer, EffectState, Rejection,
        ledger::{Line, Source},
        pauses,
        store::{self, End, Outcome, Start, Teller, Written},
    },
    telemetry::metrics::EffectMark,
};

/// An answer that could not be written down is tried for at least this long before the call is left in doubt, and longer
/// while this node's heartbeat comes through.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
const WRITE_PATIENCE_AT_MOST: Duration = Duration::from_secs(60);
/// Longest words of ours about a refusal, in characters: they quote what a guest asked for.
const MAX_REFUSAL: usize = 1_000;
/// How soon a job looks again whether its provider is still paused.
const PAUSED: Duration = Duration::from_secs(5);

/// A call that the journal says is on its way.
pub(super) struct OpenCall<'a> {
    pub attempt: &'a Attempt,
    pub provider: &'static str,
    pub seq: u32,
    pub id: EffectId,
    /// 0: none of this attempt's.
    pub try_no: i32,
}

impl OpenCall<'_> {
    fn end(&self, outcome: Outcome) -> End {
        End { job: self.attempt.job, seq: self.seq, effect_id: self.id, outcome }
    }
}

impl Gate {
    /// Returns the number of this try.
    pub(super) async fn journal_start(&self, start: &Arc<Start>, attempt: &Attempt) -> Result<i32, Stop> {
        match self.journal.begin(start).await.map_err(|e| database_away(&e))? {
            Some(try_no) => Ok(try_no),
            None => Err(self.refused(start, attempt).await),
        }
    }

    pub(super) async fn record_refusal(
        &self,
        attempt: &Attempt,
        start: &Start,
        answer: Answer,
    ) -> Result<Answer, Stop> {
        let answer = storable(shortened(answer));
        let write = async {
            let mut tx = store::begin_durable(&self.pool).await?;
            let ended = store::record_refusal(&mut tx, start, &answer).await?;
            tx.commit().await?;
            sqlx::Result::Ok(ended)
        };
        match write.await.map_err(|e| database_away(&e))? {
            Some(ended_ms) => {
                self.metrics.of(start.provider).wrote(EffectMark::Refused);
                attempt.advance_clock(ended_ms);
                Ok(answer)
            }
            None => Err(self.refused(start, attempt).await),
        }
    }

    /// Why the fence let nothing through.
    async fn refused(&self, start: &Start, attempt: &Attempt) -> Stop {
        let ask = async {
            // It waits for whoever writes the row, so it is no mere read; nothing has to be kept.
            let mut db = self.pool.write().await?;
            let mine = store::still_mine(&mut db, start.tier, start.job, start.lease).await?;
            sqlx::Result::Ok((mine, pauses::is_paused(&mut db, start.provider, &attempt.who.tenant).await?))
        };
        match ask.await {
            Ok((false, _)) => Stop::LeaseLost,
            Ok((true, true)) => Stop::Snooze { message: format!("{} is paused", start.provider), after: Some(PAUSED) },
            // Ours, nothing is paused, and yet no start: somebody wants it cancelled.
            Ok((true, false)) => Stop::Cancelled,
            Err(error) => database_away(&error),
        }
    }

    /// The answer is a fact that must not be lost to a passing fault of the database.
    pub(super) async fn write_answer(
        &self,
        call: &OpenCall<'_>,
        answer: Answer,
        line: Option<Line>,
        source: Source,
    ) -> Result<Answer, Stop> {
        let answer = storable(answer);
        let teller =
            Teller { tenant: call.attempt.who.tenant.clone(), provider: call.provider.to_owned(), source, line };
        let end = Arc::new(call.end(Outcome::Answered { answer: answer.clone(), teller: Box::new(teller) }));
        let (began, mut is_first) = (Boottime::now(), true);
        loop {
            match self.journal.end(&end).await {
                Ok(Some(Written::Ended(ended_ms))) => {
                    call.attempt.advance_clock(ended_ms);
                    return Ok(answer);
                }
                // An earlier sender's answer came first, and is the journal's: the next attempt reads it.
                Ok(Some(Written::Open(_)) | None) => return Err(not_now("the effect was answered by an earlier try")),
                // It may have been hanging in a dead connection for all of its time, and another one is fine.
                Err(error)
                    if is_first
                        || began.elapsed() < WRITE_PATIENCE
                        || began.elapsed() < WRITE_PATIENCE_AT_MOST && self.pulse.is_fresh() =>
                {
                    tracing::warn!(error = %error, job.id = %call.attempt.job, "an effect's answer could not be written; trying again");
                    is_first = false;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                // The row stays `started`: doubt, to be settled by its class.
                Err(error) => return Err(database_away(&error)),
            }
        }
    }

    /// Returns the state that was left. If it cannot be written the row stays `started`, which is the more careful reading.
    pub(super) async fn leave_open(&self, call: &OpenCall<'_>, state: EffectState, note: &str) -> EffectState {
        let note = note.replace('\0', "\u{fffd}");
        let end = Arc::new(call.end(Outcome::Left { try_no: call.try_no, state, note }));
        match self.journal.end(&end).await {
            Ok(Some(Written::Open(left))) => left,
            Ok(Some(Written::Ended(_)) | None) => EffectState::Started,
            Err(error) => {
                tracing::warn!(error = %error, job.id = %call.attempt.job, "an effect's end could not be written; it stays in doubt");
                EffectState::Started
            }
        }
    }

    /// The fence once more, for a sender that was slow: what the journal says of how long it may be alive counts from now.
    pub(super) async fn fence_again(&self, call: &OpenCall<'_>, timeout: Duration) -> bool {
        let (asked, attempt) = (Boottime::now(), call.attempt);
        let ask = async {
            let mut tx = store::begin_durable(&self.pool).await?;
            let sender = (attempt.tier, attempt.job, attempt.lease);
            let is_mine = store::begin_again(&mut tx, sender, call.seq, call.try_no, timeout).await?;
            tx.commit().await?;
            sqlx::Result::<bool>::Ok(is_mine)
        };
        matches!(ask.await, Ok(true)) && asked.elapsed() <= FENCE_AGE && self.pulse.is_fresh()
    }
}

/// A refusal of ours, as long as the journal keeps it.
pub(in crate::effects) fn shortened(answer: Answer) -> Answer {
    let short = |message: String| message.chars().take(MAX_REFUSAL).collect();
    match answer {
        Answer::Denied(message) => Answer::Denied(short(message)),
        Answer::Invalid(message) => Answer::Invalid(short(message)),
        other => other,
    }
}

/// Postgres's jsonb takes no NUL. The guest is told what the journal says.
pub(in crate::effects) fn storable(answer: Answer) -> Answer {
    let text = |text: String| if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    match answer {
        Answer::Ok(mut value) => {
            identity::without_nul(&mut value);
            Answer::Ok(value)
        }
        Answer::Denied(message) => Answer::Denied(text(message)),
        Answer::Invalid(message) => Answer::Invalid(text(message)),
        Answer::Rejected(Rejection { code, message, status }) => {
            Answer::Rejected(Rejection { code: text(code), message: text(message), status })
        }
    }
}

pub(super) fn not_now(message: &str) -> Stop {
    Stop::Snooze { message: message.to_owned(), after: Some(Duration::from_secs(1)) }
}

pub(super) fn database_away(error: &sqlx::Error) -> Stop {
    tracing::error!(error = %error, "the journal could not be written");
    Stop::Snooze { message: "the journal could not be written".to_owned(), after: None }
}
