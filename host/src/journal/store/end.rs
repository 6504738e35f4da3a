use sqlx::{PgConnection, types::Json};

use super::{Terms, int, unix_ms};
use crate::{
    ids::{EffectId, JobId},
    journal::{
        Answer, EffectState,
        ledger::{Line, Source},
    },
};

/// How a try ended, as it is written down.
#[derive(Clone, Debug)]
pub struct End {
    pub job: JobId,
    pub seq: u32,
    pub effect_id: EffectId,
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    /// Not fenced: what happened is a fact, whoever holds the job by now.
    Answered { answer: Answer, teller: Box<Teller> },
    /// No answer: the call surely did not happen (`Deferred`), or may have (`Doubt`). Says so of this try only: a later
    /// holder of the job may have begun another one, and an earlier try may have happened all the same.
    Left { try_no: i32, state: EffectState, note: String },
}

/// Who gave the answer, and what finance is told of it.
#[derive(Clone, Debug)]
pub struct Teller {
    pub tenant: String,
    pub provider: String,
    pub source: Source,
    /// `None`: it moved no money.
    pub line: Option<Line>,
}

/// What has become of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// At this time of the guest, ms since the epoch.
    Ended(u64),
    /// The state that was left.
    Open(EffectState),
}

/// The ends of many calls, each of another one, and their lines in the ledger, in one statement, so that there is a line
/// exactly where there is an answer. `None`: it was answered before, or this try is not the last one.
pub async fn end(db: &mut PgConnection, terms: Terms<'_>, ends: &[&End]) -> sqlx::Result<Vec<Option<Written>>> {
    macro_rules! column {
        ($e:ident => $value:expr) => {
            ends.iter().map(|$e| $value).collect::<Vec<_>>()
        };
    }
    let rows = sqlx::query!(
        r#"
        WITH s AS MATERIALIZED (
            SELECT set_config('synchronous_commit', $1, true), set_config('lock_timeout', $2, true)
        ), told AS MATERIALIZED (
            SELECT u.*
            FROM s, unnest($3::uuid[], $4::int[], $5::uuid[], $6::jsonb[], $7::int[], $8::text[], $9::text[], $10::text[],
                           $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[],
                           $18::text[], $19::text[]) WITH ORDINALITY
                 AS u (job_id, seq, effect_id, answer, try_no, state, note, tenant, provider, source, profile, account,
                       kind, provider_id, amount, currency, status, n)
        ), written AS (
            UPDATE effects e
            SET state = CASE WHEN t.answer IS NOT NULL THEN 'ended' WHEN e.doubted THEN 'doubt' ELSE t.state END,
                answer = t.answer, ended_at = CASE WHEN t.answer IS NOT NULL THEN now() END, note = t.note
            FROM told t
            WHERE e.job_id = t.job_id AND e.seq = t.seq AND e.effect_id = t.effect_id
              AND CASE WHEN t.answer IS NOT NULL THEN e.state <> 'ended' ELSE e.tries = t.try_no AND e.state = 'started' END
            RETURNING t.*, e.state AS became, e.ended_at
        ), lines AS (
            INSERT INTO ledger (tenant, job_id, seq, effect_id, provider, profile, account, kind, provider_id, amount,
                                currency, status, source)
            SELECT tenant, job_id, seq, effect_id, provider, profile, account, kind, provider_id, amount, currency, status,
                   source
            FROM written WHERE kind IS NOT NULL
        )
        SELECT n AS "n!", became AS "became!", ended_at FROM written
        "#,
        terms.synchronous_commit,
        terms.lock_timeout,
        &column!(e => e.job.0),
        &column!(e => int(e.seq)),
        &column!(e => e.effect_id.0),
        &column!(e => e.answer().map(Json)) as &[Option<Json<&Answer>>],
        &column!(e => e.left().map(|(try_no, ..)| try_no)) as &[Option<i32>],
        &column!(e => e.left().map(|(_, state, _)| state.as_str().to_owned())) as &[Option<String>],
        &column!(e => e.left().map(|(.., note)| note.to_owned())) as &[Option<String>],
        &column!(e => e.teller().map(|t| t.tenant.clone())) as &[Option<String>],
        &column!(e => e.teller().map(|t| t.provider.clone())) as &[Option<String>],
        &column!(e => e.teller().map(|t| t.source.as_str().to_owned())) as &[Option<String>],
        &column!(e => e.line().map(|l| l.profile.clone())) as &[Option<String>],
        &column!(e => e.line().and_then(|l| l.account.clone())) as &[Option<String>],
        &column!(e => e.line().map(|l| l.kind.to_owned())) as &[Option<String>],
        &column!(e => e.line().map(|l| l.provider_id.clone())) as &[Option<String>],
        &column!(e => e.line().map(|l| l.amount)) as &[Option<i64>],
        &column!(e => e.line().map(|l| l.currency.clone())) as &[Option<String>],
        &column!(e => e.line().map(|l| l.status.clone())) as &[Option<String>],
    )
    .fetch_all(db)
    .await?;
    let mut written = vec![None; ends.len()];
    for row in rows {
        if let Some(place) = usize::try_from(row.n).ok().and_then(|n| written.get_mut(n.wrapping_sub(1))) {
            *place = match row.ended_at {
                Some(at) => Some(Written::Ended(unix_ms(at))),
                None => EffectState::parse(&row.became).map(Written::Open),
            };
        }
    }
    Ok(written)
}

impl End {
    fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Answered { answer, .. } => Some(answer),
            Outcome::Left { .. } => None,
        }
    }

    fn teller(&self) -> Option<&Teller> {
        match &self.outcome {
            Outcome::Answered { teller, .. } => Some(teller),
            Outcome::Left { .. } => None,
        }
    }

    fn line(&self) -> Option<&Line> {
        self.teller()?.line.as_ref()
    }

    fn left(&self) -> Option<(i32, EffectState, &str)> {
        match &self.outcome {
            Outcome::Answered { .. } => None,
            Outcome::Left { try_no, state, note } => Some((*try_no, *state, note)),
        }
    }
}
