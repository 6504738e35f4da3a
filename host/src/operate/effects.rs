use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{OperateError, Operator};
use crate::{
    audit, effects,
    ids::JobId,
    journal::{
        Answer, Rejection, Restored, VOID,
        ledger::{Line, Source},
        mints::{self, Alive},
        pauses::{self, Pause},
        store::{self as journal, End, Filter, Open, Outcome, Seen, Teller, Terms},
    },
    queue::store,
};

/// What a person says became of an effect in doubt.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// It did happen: this is what the provider shows of it.
    Happened { answer: Value },
    /// It did not, and shall not: the guest is told that it was refused.
    Void,
    /// It did not, and shall be done now.
    Resend,
}

impl Resolution {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Happened { .. } => "happened",
            Self::Void => "void",
            Self::Resend => "resend",
        }
    }
}

/// How long a person's word waits for a lock, in milliseconds.
const PATIENCE: &str = "2000";
/// Attempts that a job gets once a person has spoken.
const MORE_ATTEMPTS: i32 = 11;

impl Operator {
    /// Of live jobs; of one that is named, also when it has ended and is kept.
    pub async fn effects(&self, filter: &Filter<'_>, limit: i64) -> Result<Vec<Seen>, OperateError> {
        let mut db = self.pool.read().await?;
        let live = journal::list(&mut db, filter, limit).await?;
        match filter.job {
            // In this order: a job that ends meanwhile is found in the archive.
            Some(job) if live.is_empty() => Ok(archived(&mut db, JobId(job), filter, limit).await?),
            _ => Ok(live),
        }
    }

    /// Settles an effect in doubt of a parked job by a person's word; the job goes on once none is left. Returns whether
    /// it does.
    pub async fn resolve(
        &self,
        id: JobId,
        seq: u32,
        resolution: Resolution,
        evidence: &str,
        by: &str,
    ) -> Result<bool, OperateError> {
        let mut tx = self.pool.begin_durable("SET LOCAL lock_timeout = '2s'").await?;
        let job = store::lock(&mut tx, id, None).await?.ok_or(OperateError::NotFound)?;
        if job.state != "dead" {
            let message = format!("The job is {}; only one that waits for a person can be resolved.", job.state);
            return Err(OperateError::conflict("not-parked", message));
        }
        let Some(open) = journal::lock_open(&mut tx, id, seq, self.doubt_margin).await? else {
            return Err(OperateError::conflict("not-in-doubt", format!("Effect {seq} of this job is not in doubt.")));
        };
        if !open.settle_in.is_zero() {
            let message = format!(
                "The host that sent it may still be alive; ask again in {} s.",
                open.settle_in.as_secs_f64().ceil()
            );
            return Err(OperateError::conflict("sender-alive", message));
        }
        if !matches!(resolution, Resolution::Happened { .. }) {
            check_that_it_is_dead(&mut tx, id, &open).await?;
        }
        match &resolution {
            Resolution::Happened { answer } => {
                let told = effects::by_person(&open.provider, &open.function, &open.request, answer)
                    .map_err(OperateError::Answer)?;
                self.end_by_person(&mut tx, &job.tenant, (id, seq), &open, Answer::Ok(told.value), told.line).await?;
            }
            Resolution::Void => {
                let refused = Rejection {
                    code: VOID.to_owned(),
                    message: "A person says that it did not happen, and shall not.".to_owned(),
                    status: None,
                };
                self.end_by_person(&mut tx, &job.tenant, (id, seq), &open, Answer::Rejected(refused), None).await?;
            }
            Resolution::Resend => {
                let generation = open.generation + 1;
                journal::renew(&mut tx, id, seq, generation, id.effect(seq, generation)).await?;
            }
        }
        let word = resolution.as_str();
        let detail = json!({
            "outcome": word, "evidence": evidence, "provider": open.provider, "function": open.function,
            "effectId": open.effect_id,
        });
        audit::write(&mut tx, by, Some(&job.tenant), "effect.resolve", &format!("effect/{id}/{seq}"), detail).await?;
        let goes_on = journal::count_doubts(&mut tx, id).await? == 0;
        let mut ready = Vec::new();
        if goes_on {
            let note = json!({
                "kind": "resolved", "message": format!("effect {seq}: {word}, says {by}"), "at": Utc::now(),
            });
            ready = store::unpark(&mut tx, job.tier, id, MORE_ATTEMPTS, &note).await?.unwrap_or_default();
            crate::alerts::resolve(&mut tx, "unknown-outcome", &format!("job/{id}")).await?;
        }
        tx.commit().await?;
        self.bell.ready(&ready);
        Ok(goes_on)
    }

    async fn end_by_person(
        &self,
        tx: &mut PgConnection,
        tenant: &str,
        (job, seq): (JobId, u32),
        open: &Open,
        answer: Answer,
        line: Option<Line>,
    ) -> sqlx::Result<()> {
        let teller =
            Teller { tenant: tenant.to_owned(), provider: open.provider.clone(), source: Source::Person, line };
        let end = End {
            job,
            seq,
            effect_id: open.effect_id,
            outcome: Outcome::Answered { answer, teller: Box::new(teller) },
        };
        journal::end(tx, Terms::durable(&self.pool, PATIENCE), &[&end]).await.map(drop)
    }

    pub async fn pauses(&self) -> Result<Vec<Pause>, OperateError> {
        let mut db = self.pool.read().await?;
        Ok(pauses::list(&mut db).await?)
    }

    /// No new call of the provider begins anywhere, for one tenant or for all; jobs wait.
    pub async fn pause_provider(&self, provider: &str, tenant: Option<&str>, by: &str) -> Result<bool, OperateError> {
        let mut tx = self.pool.begin_durable("").await?;
        let changed = pauses::pause(&mut tx, provider, tenant, by).await?;
        if changed {
            audit::write(&mut tx, by, tenant, "provider.pause", &format!("provider/{provider}"), json!({})).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    pub async fn resume_provider(&self, provider: &str, tenant: Option<&str>, by: &str) -> Result<bool, OperateError> {
        let mut tx = self.pool.begin_durable("").await?;
        let changed = pauses::resume(&mut tx, provider, tenant).await?;
        if changed {
            audit::write(&mut tx, by, tenant, "provider.resume", &format!("provider/{provider}"), json!({})).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }
}

/// The journal of a job that has ended, newest first.
async fn archived(db: &mut PgConnection, id: JobId, filter: &Filter<'_>, limit: i64) -> sqlx::Result<Vec<Seen>> {
    // An id tells when its job (or the parent of it) was made.
    let day = TimeDelta::days(1);
    let found = store::recordings(db, &[id.0], (id.made_at() - day, Utc::now() + day), i64::MAX).await?;
    let Some(past) = found.into_iter().find(|past| filter.tenant.is_none_or(|tenant| past.tenant == tenant)) else {
        return Ok(Vec::new());
    };
    let rows: Vec<Restored> = match past.journal {
        Some(journal) => serde_json::from_value(journal).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        None => Vec::new(),
    };
    let is_wanted = |row: &Restored| {
        filter.provider.is_none_or(|provider| row.provider == provider)
            && filter.state.is_none_or(|state| row.state == state)
            && filter.before.is_none_or(|before| (id.0, row.seq) < before)
    };
    let seen = |row: Restored| Seen {
        job: id.0,
        seq: row.seq,
        tenant: past.tenant.clone(),
        job_type: past.job_type.clone(),
        job_state: past.state.clone(),
        generation: row.generation,
        effect_id: row.effect_id,
        provider: row.provider,
        function: row.function,
        class: row.class,
        request: row.request,
        state: row.state,
        tries: row.tries,
        first_at: row.first_at.unwrap_or(row.started_at),
        started_at: row.started_at,
        ended_at: row.ended_at,
        answer: row.answer.as_ref().and_then(|answer| answer["kind"].as_str()).map(str::to_owned),
        note: row.note,
    };
    let mut rows: Vec<_> = rows.into_iter().filter(is_wanted).collect();
    rows.sort_unstable_by_key(|row| -row.seq);
    Ok(rows.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).map(seen).collect())
}

/// What was signed for Solana lands without its sender, which may be long gone: nodes send it on until its time is over.
async fn check_that_it_is_dead(db: &mut PgConnection, job: JobId, open: &Open) -> Result<(), OperateError> {
    if open.provider != "solana" {
        return Ok(());
    }
    match mints::alive(db, job, open.request["label"].as_str().unwrap_or_default()).await? {
        None => Ok(()),
        Some(Alive::Landed(signature)) => {
            let message = format!("It is on the chain, by the signature {signature}: say that it happened.");
            Err(OperateError::conflict("it-happened", message))
        }
        Some(Alive::For(left)) => {
            let message = format!("What was signed may still land; ask again in {} s.", left.as_secs_f64().ceil());
            Err(OperateError::conflict("may-still-land", message))
        }
    }
}
