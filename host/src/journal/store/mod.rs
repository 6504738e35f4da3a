mod end;
mod marked;
mod start;

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

pub use self::{
    end::{End, Outcome, Teller, Written, end},
    marked::{Marked, doubt_about, marked},
    start::{Start, begin_again, record_refusal, start, still_mine},
};
use super::{Answer, Class, EffectState, Recorded, Restored};
use crate::db::Pool;
use crate::ids::{Digest, EffectId, JobId, Tier};

/// Begins a transaction whose commit is durable whatever the tier of the job.
pub async fn begin_durable(pool: &Pool) -> sqlx::Result<Transaction<'static, Postgres>> {
    pool.begin_durable("").await
}

/// How a statement of many rows is committed, for that statement only.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub synchronous_commit: &'a str,
    /// In milliseconds; `0`: as long as it takes.
    pub lock_timeout: &'static str,
}

impl<'a> Terms<'a> {
    /// Whatever the tier of the job: what the journal says must survive before the provider or the guest learns of it.
    pub fn durable(pool: &'a Pool, lock_timeout: &'static str) -> Self {
        Self { synchronous_commit: pool.synchronous_commit(Tier::Money), lock_timeout }
    }
}

/// An open effect, locked, for a person who says what became of it.
#[derive(Debug)]
pub struct Open {
    pub generation: u32,
    pub effect_id: EffectId,
    pub provider: String,
    pub function: String,
    pub request: serde_json::Value,
    /// Its sender may still be alive.
    pub settle_in: Duration,
}

/// `None`: there is no such effect, or its outcome is known.
pub async fn lock_open(db: &mut PgConnection, job: JobId, seq: u32, margin: Duration) -> sqlx::Result<Option<Open>> {
    let row = sqlx::query!(
        r#"
        SELECT generation, effect_id, provider, function, request,
               -- One in `doubt` was left so by its sender itself.
               CASE WHEN state = 'doubt' THEN 0
                    ELSE greatest(0, extract(epoch FROM deadline_at - now()) + $3::float8) END::float8 AS "settle_in!"
        FROM effects WHERE job_id = $1 AND seq = $2 AND state IN ('started', 'doubt')
        FOR UPDATE
        "#,
        job.0,
        int(seq),
        margin.as_secs_f64(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Open {
        generation: row.generation.cast_unsigned(),
        effect_id: EffectId(row.effect_id),
        provider: row.provider,
        function: row.function,
        request: row.request,
        settle_in: Duration::from_secs_f64(row.settle_in.max(0.0)),
    }))
}

/// It surely did not happen, and is to be done under a new identity: a provider that keeps an old failure under the
/// old one would repeat it.
pub async fn renew(db: &mut PgConnection, job: JobId, seq: u32, generation: u32, id: EffectId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE effects SET state = 'deferred', doubted = false, generation = $3, effect_id = $4, first_at = now(), note = NULL
        WHERE job_id = $1 AND seq = $2 AND state <> 'ended'
        "#,
        job.0,
        int(seq),
        int(generation),
        id.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many of a job's effects wait for somebody to say what became of them.
pub async fn count_doubts(db: &mut PgConnection, job: JobId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        SELECT count(*) AS "count!" FROM effects
        WHERE job_id = $1 AND state IN ('started', 'doubt') AND class NOT IN ('read', 'resend')
        "#,
        job.0,
    )
    .fetch_one(db)
    .await
}

/// An effect, as people see it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Effect)]
pub struct Seen {
    pub job: Uuid,
    pub seq: i32,
    pub tenant: String,
    #[serde(rename = "type")]
    pub job_type: String,
    pub job_state: String,
    pub generation: i32,
    pub effect_id: Uuid,
    pub provider: String,
    pub function: String,
    pub class: String,
    pub request: serde_json::Value,
    pub state: String,
    pub tries: i32,
    pub first_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// `ok`, `rejected`, `denied` or `invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Which effects are asked for. All that is there must hold.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    pub tenant: Option<&'a str>,
    pub job: Option<Uuid>,
    pub provider: Option<&'a str>,
    pub state: Option<&'a str>,
    /// The last one of the page before.
    pub before: Option<(Uuid, i32)>,
}

/// Of live jobs, newest first.
pub async fn list(db: &mut PgConnection, f: &Filter<'_>, limit: i64) -> sqlx::Result<Vec<Seen>> {
    sqlx::query_as!(
        Seen,
        r#"
        SELECT e.job_id AS job, e.seq, j.tenant, j.job_type, j.state AS job_state, e.generation, e.effect_id, e.provider,
               e.function, e.class, e.request, e.state, e.tries, e.first_at, e.started_at, e.ended_at,
               e.answer ->> 'kind' AS answer, e.note
        FROM effects e JOIN jobs j ON j.tier = e.tier AND j.id = e.job_id
        WHERE ($1::text IS NULL OR j.tenant = $1) AND ($2::uuid IS NULL OR e.job_id = $2)
          AND ($3::text IS NULL OR e.provider = $3) AND ($4::text IS NULL OR e.state = $4)
          AND ($5::uuid IS NULL OR (e.job_id, e.seq) < ($5, $6))
        ORDER BY e.job_id DESC, e.seq DESC
        LIMIT $7
        "#,
        f.tenant,
        f.job,
        f.provider,
        f.state,
        f.before.map(|(job, _)| job),
        f.before.map(|(_, seq)| seq),
        limit,
    )
    .fetch_all(db)
    .await
}

/// A job's effects in order; an error names what of them cannot be read.
pub type Journal = Result<Vec<Recorded>, String>;

/// The journals of these jobs, in one query; jobs without one are left out. `margin`: how long after its deadline a
/// started call is left alone, since a frozen host may still be sending.
pub async fn load(db: &mut PgConnection, jobs: &[Uuid], margin: Duration) -> sqlx::Result<HashMap<JobId, Journal>> {
    let rows = sqlx::query!(
        r#"
        SELECT job_id, seq, generation, effect_id, provider, function, class, request_hash, request, state, tries, release,
               base_ms, first_at, started_at, ended_at, answer, note,
               greatest(0, extract(epoch FROM now() - first_at))::float8 AS "age!",
               greatest(0, extract(epoch FROM deadline_at - now()) + $2::float8)::float8 AS "settle_in!"
        FROM effects
        WHERE job_id = ANY ($1)
        ORDER BY job_id, seq
        "#,
        jobs,
        margin.as_secs_f64(),
    )
    .fetch_all(db)
    .await?;
    let mut journals: HashMap<JobId, Journal> = HashMap::new();
    for row in rows {
        let (job, seq) = (JobId(row.job_id), row.seq);
        let recorded = (|| {
            let answer = row.answer.map(serde_json::from_value::<Answer>).transpose().map_err(|_| "answer")?;
            Ok(Recorded {
                seq: row.seq.cast_unsigned(),
                generation: row.generation.cast_unsigned(),
                effect_id: EffectId(row.effect_id),
                provider: row.provider,
                function: row.function,
                class: Class::parse(&row.class).ok_or("class")?,
                request_hash: row.request_hash.try_into().map_err(|_| "request_hash")?,
                request: row.request,
                state: EffectState::parse(&row.state).ok_or("state")?,
                tries: row.tries.cast_unsigned(),
                release: Digest::from_slice(&row.release).ok_or("release")?,
                base_ms: row.base_ms.cast_unsigned(),
                ended_ms: row.ended_at.map(unix_ms),
                first_at: row.first_at,
                age: Duration::from_secs_f64(row.age.max(0.0)),
                started_at: row.started_at,
                settle_in: Duration::from_secs_f64(row.settle_in.max(0.0)),
                answer,
                note: row.note,
            })
        })();
        let journal = journals.entry(job).or_insert_with(|| Ok(Vec::new()));
        match (&mut *journal, recorded) {
            (Ok(rows), Ok(recorded)) => rows.push(recorded),
            (Ok(_), Err(column)) => {
                let _: &str = column;
                *journal = Err(format!("effects: {column} of seq {seq}"));
            }
            (Err(_), _) => {}
        }
    }
    Ok(journals)
}

/// Brings an archived journal back, for a job that begins again.
pub async fn restore(db: &mut PgConnection, job: JobId, tier: Tier, rows: &[Restored]) -> sqlx::Result<()> {
    for row in rows {
        sqlx::query!(
            r#"
            INSERT INTO effects (job_id, seq, generation, effect_id, tier, provider, function, class, request_hash, request,
                                 state, tries, release, base_ms, first_at, doubted, started_at, deadline_at, ended_at, answer,
                                 note)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, coalesce($15::timestamptz, $17::timestamptz), $16, $17, $17, $18, $19, $20)
            "#,
            job.0,
            row.seq,
            row.generation,
            row.effect_id,
            tier.as_i16(),
            row.provider,
            row.function,
            row.class,
            row.request_hash,
            row.request,
            row.state,
            row.tries,
            row.release,
            row.base_ms,
            row.first_at,
            row.doubted,
            row.started_at,
            row.ended_at,
            row.answer,
            row.note,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

fn unix_ms(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or(0)
}

/// `seq`, `generation` and `tries` are counted from 0 and bounded by `limits.effects`.
fn int(n: u32) -> i32 {
    n.cast_signed()
}
