use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    FENCE_AGE, Gate,
    doubt::{self, Next},
    failpoint::{self, Plant, Point},
    place::{Asking, Known},
    write::{OpenCall, database_away, not_now},
};
use crate::{
    clock::Boottime,
    effects::{Asked, Attempt, Away, CallEnd, Prepared, Provider, Refused, Sending, Sent, Stop, card},
    journal::{Answer, Class, EffectState, Recorded, ledger::Source, store::Start},
    ratelimit::{Bucket, Pass},
    telemetry::metrics::{EffectEnd, EffectMark},
};

impl Gate {
    /// The steps, top to bottom.
    pub(super) async fn pass<P: Provider>(
        &self,
        provider: &P,
        attempt: &Attempt,
        seq: u32,
        prepared: Result<Prepared<P::Call>, Refused>,
    ) -> Result<Answer, Stop> {
        let asking = Asking::of(P::NAME, &prepared);
        // A row that a person had made anew has an id of its own.
        let recorded = attempt.recorded(seq);
        let generation = recorded.map_or(attempt.generation, |row| row.generation);
        let mut start = Start {
            job: attempt.job,
            tier: attempt.tier,
            lease: attempt.lease,
            seq,
            generation,
            effect_id: attempt.job.effect(seq, generation),
            provider: P::NAME,
            function: asking.function,
            class: Class::Read,
            request_hash: asking.request_hash,
            request: asking.redacted.clone(),
            release: attempt.release,
            base_ms: attempt.base_ms(),
            timeout: Duration::ZERO,
            again: false,
        };

        // Recorded already?
        let open = match asking.known(attempt, seq)? {
            Known::Answered(answer) => return Ok(answer),
            Known::Open(row) => Some(row),
            Known::New => None,
        };

        // Granted, and well formed?
        let prepared = match &prepared {
            Ok(prepared) => prepared,
            Err(refused) => {
                return match open {
                    // It was allowed once, and may have happened then.
                    Some(row) if row.is_open_doubt() => {
                        let message = format!("effect {} is in doubt, and may not be asked for any more", row.seq);
                        Err(Stop::Park { message })
                    }
                    _ => self.record_refusal(attempt, &start, card::refusal(refused.answer.clone())).await,
                };
            }
        };
        start.class = prepared.class;
        start.timeout = prepared.timeout;
        start.again = open.is_some();
        let mut call = OpenCall { attempt, provider: P::NAME, seq, id: start.effect_id, try_no: 0 };

        // In doubt from an earlier attempt? Then its class decides whether it may be sent again.
        if let Some(row) = open {
            match doubt::next(row, prepared.class, prepared.remembers)? {
                Next::Send => {}
                Next::Ask => {
                    if let Some(answer) = self.ask(provider, &call, row, prepared).await? {
                        return Ok(answer);
                    }
                    if attempt.is_ending {
                        let message = format!("the job was to be cancelled, and effect {} is in doubt", row.seq);
                        return Err(Stop::Park { message });
                    }
                }
            }
        }

        // Is it there, as far as this node knows?
        let admitted = provider.admit(&prepared.call).await;
        let _admitted = admitted.map_err(|Away { message, after }| Stop::Snooze { message, after })?;

        // Its turn? A call that has to wait long gives its slot back, and owns the moment that it is told.
        let buckets =
            [Bucket::provider(P::NAME), prepared.bucket.clone(), Bucket::tenant(&attempt.who.tenant, P::NAME)];
        let (counted, in_line) = (self.metrics.of(P::NAME), Instant::now());
        match self.limiter.take(start.effect_id, &buckets).await {
            Ok(Pass::Go) => counted.passed(in_line.elapsed()),
            Ok(Pass::Later(after)) => {
                counted.put_off();
                let message = format!("{} is limited here; its turn comes", P::NAME);
                return Err(Stop::Snooze { message, after: Some(after) });
            }
            Err(error) => return Err(database_away(&error)),
        }

        // Journal start and fence; then the provider, unless too much time went by in between.
        if !self.pulse.is_fresh() {
            return Err(not_now("this node's heartbeat is not confirmed"));
        }
        let start = Arc::new(start);
        failpoint::reach(Point::BeforeStart, &call);
        let asked = Boottime::now();
        call.try_no = match self.journal_start(&start, attempt).await {
            Err(_) if failpoint::is_planted(Plant::NoFence) => 0,
            started => started?,
        };
        counted.wrote(EffectMark::Started);
        attempt.set_in_doubt(prepared.class.doubt_matters());
        let is_late = asked.elapsed() > FENCE_AGE || !self.pulse.is_fresh();
        if is_late && !failpoint::is_planted(Plant::NoFence) && !self.fence_again(&call, prepared.timeout).await {
            // Not a byte has left, and the row may say so: it is still this try's.
            self.leave(&call, prepared.class, EffectState::Deferred, "this node was too slow to send it").await;
            return Err(not_now("this node was too slow between the journal and the call"));
        }
        failpoint::reach(Point::AfterStart, &call);
        // The provider keeps its own time-out; this one is for the day it does not.
        let backstop = prepared.timeout + Duration::from_secs(1);
        let sending = Sending { id: failpoint::key(&call), try_no: call.try_no };
        let (under_way, sent) = (counted.sending(), Instant::now());
        let end = tokio::time::timeout(backstop, provider.call(sending, &prepared.call))
            .await
            .unwrap_or_else(|_| CallEnd::doubt("no answer within the call's time-out"))
            .without_cards();
        drop(under_way);
        let took = sent.elapsed();
        // An earlier try may have happened, and this answer is about this one only.
        let end = match end {
            CallEnd::Answer(answer)
                if open.is_some_and(Recorded::is_open_doubt) && !provider.settles(&prepared.call, &answer) =>
            {
                CallEnd::Transient {
                    message: "the answer to a repeat does not say what became of the call before".to_owned(),
                    retry_after: None,
                }
            }
            end => end,
        };
        counted.called(as_counted(&end), took);

        failpoint::reach(Point::AfterReply, &call);
        if let CallEnd::Transient { retry_after: Some(after), .. } | CallEnd::Doubt { retry_after: Some(after), .. } =
            &end
        {
            self.limiter.hold(&prepared.bucket, *after).await;
        }

        // Journal end; then the guest may know.
        let answer = self.conclude(provider, &call, prepared, end).await;
        failpoint::reach(Point::AfterEnd, &call);
        answer
    }

    async fn conclude<P: Provider>(
        &self,
        provider: &P,
        call: &OpenCall<'_>,
        prepared: &Prepared<P::Call>,
        end: CallEnd,
    ) -> Result<Answer, Stop> {
        let leave = async |state, note: &str| self.leave(call, prepared.class, state, note).await;
        match end {
            CallEnd::Answer(answer) => self.answered(provider, call, prepared, answer, Source::Answer).await,
            CallEnd::Unreachable(message) => {
                leave(EffectState::Deferred, &message).await;
                Err(Stop::Snooze { message, after: None })
            }
            CallEnd::Transient { message, retry_after } => {
                leave(EffectState::Deferred, &message).await;
                Err(Stop::Retry { message, after: retry_after })
            }
            CallEnd::Doubt { message, retry_after } => {
                leave(EffectState::Doubt, &message).await;
                match prepared.class {
                    Class::Once => Err(Stop::Park { message }),
                    Class::Read | Class::Idempotent | Class::Asked | Class::Resend => {
                        Err(Stop::Retry { message, after: retry_after })
                    }
                }
            }
            CallEnd::Unknown(message) => {
                leave(EffectState::Doubt, &message).await;
                Err(Stop::Park { message })
            }
        }
    }

    /// The answer of this call or of a question about it: journaled, with finance's line beside it.
    async fn answered<P: Provider>(
        &self,
        provider: &P,
        call: &OpenCall<'_>,
        prepared: &Prepared<P::Call>,
        answer: Answer,
        source: Source,
    ) -> Result<Answer, Stop> {
        let line = match &answer {
            Answer::Ok(value) => provider.ledger(&prepared.call, value),
            Answer::Denied(_) | Answer::Invalid(_) | Answer::Rejected(_) => None,
        };
        let answer = self.write_answer(call, answer, line, source).await?;
        self.metrics.of(P::NAME).wrote(EffectMark::Ended);
        call.attempt.set_in_doubt(false);
        Ok(answer)
    }

    async fn leave(&self, call: &OpenCall<'_>, class: Class, state: EffectState, note: &str) {
        let left = self.leave_open(call, state, note).await;
        match left {
            EffectState::Deferred => self.metrics.of(call.provider).wrote(EffectMark::Deferred),
            EffectState::Doubt => self.metrics.of(call.provider).wrote(EffectMark::Doubt),
            // Somebody else's, or not written.
            EffectState::Started | EffectState::Ended => {}
        }
        call.attempt.set_in_doubt(class.doubt_matters() && left != EffectState::Deferred);
    }

    /// `None`: there is nothing of it, and it may be sent again.
    async fn ask<P: Provider>(
        &self,
        provider: &P,
        call: &OpenCall<'_>,
        row: &Recorded,
        prepared: &Prepared<P::Call>,
    ) -> Result<Option<Answer>, Stop> {
        let sent = Sent { first: row.first_at, last: row.started_at };
        let asked = tokio::time::timeout(ASK_AT_MOST, provider.ask(row.effect_id, sent, &prepared.call));
        let asked = asked.await.unwrap_or_else(|_| Asked::NotNow {
            message: format!("{} does not say what became of effect {}", P::NAME, row.seq),
            after: None,
        });
        match asked.without_cards() {
            Asked::Answer(answer) => self.answered(provider, call, prepared, answer, Source::Asked).await.map(Some),
            Asked::Absent if row.age < prepared.remembers => Ok(None),
            Asked::Absent => Err(Stop::Park {
                message: format!(
                    "effect {} was sent, {} shows nothing of it, and would not know it again by its id",
                    row.seq,
                    P::NAME
                ),
            }),
            Asked::Unclear(message) => Err(Stop::Park { message }),
            // By now a repeat would be out of the question, whatever it said: somebody else must look.
            Asked::NotNow { message, .. } if row.age >= prepared.remembers => Err(Stop::Park { message }),
            Asked::NotNow { message, after } => Err(Stop::Snooze { message, after }),
        }
    }
}

fn as_counted(end: &CallEnd) -> EffectEnd {
    match end {
        CallEnd::Answer(Answer::Ok(_)) => EffectEnd::Ok,
        CallEnd::Answer(Answer::Denied(_) | Answer::Invalid(_) | Answer::Rejected(_)) => EffectEnd::Rejected,
        CallEnd::Unreachable(_) => EffectEnd::Unreachable,
        CallEnd::Transient { .. } => EffectEnd::Transient,
        CallEnd::Doubt { .. } => EffectEnd::Doubt,
        CallEnd::Unknown(_) => EffectEnd::Unknown,
    }
}

/// All questions about one call.
const ASK_AT_MOST: Duration = Duration::from_secs(60);
