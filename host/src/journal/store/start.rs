use std::{collections::HashMap, time::Duration};

use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use super::{Terms, int, unix_ms};
use crate::{
    ids::{Digest, EffectId, JobId, Lease, Tier},
    journal::{Answer, Class},
};

/// A call about to be made, as it is written down.
#[derive(Clone, Debug)]
pub struct Start {
    pub job: JobId,
    pub tier: Tier,
    pub lease: Lease,
    pub seq: u32,
    pub generation: u32,
    pub effect_id: EffectId,
    pub provider: &'static str,
    pub function: &'static str,
    pub class: Class,
    pub request_hash: [u8; 32],
    pub request: Value,
    pub release: Digest,
    pub base_ms: u64,
    pub timeout: Duration,
    /// It is there and open: sent again, under the same identity.
    pub again: bool,
}

/// Fence and start of many calls in one statement: a row appears, or is begun again, only while the lease is its sender's,
/// nobody wants the job cancelled and nobody has paused the provider. Returns the number of each try; `None`: not so, or
/// it was answered meanwhile.
///
/// `FOR SHARE` blocks the reaper's update until we commit (`FOR KEY SHARE` would not).
pub async fn start(db: &mut PgConnection, terms: Terms<'_>, starts: &[&Start]) -> sqlx::Result<Vec<Option<i32>>> {
    macro_rules! column {
        ($s:ident => $value:expr) => {
            starts.iter().map(|$s| $value).collect::<Vec<_>>()
        };
    }
    let rows = sqlx::query!(
        r#"
        WITH s AS MATERIALIZED (
            SELECT set_config('synchronous_commit', $1, true), set_config('lock_timeout', $2, true)
        ), asked AS MATERIALIZED (
            SELECT u.*
            FROM s, unnest($3::uuid[], $4::smallint[], $5::uuid[], $6::int[], $7::int[], $8::uuid[], $9::text[],
                           $10::text[], $11::text[], $12::bytea[], $13::jsonb[], $14::bytea[], $15::bigint[],
                           $16::float8[], $17::boolean[])
                 AS u (job_id, tier, lease, seq, generation, effect_id, provider, function, class, request_hash, request,
                       release, base_ms, timeout, again)
        ), mine AS MATERIALIZED (
            SELECT a.*
            FROM asked a JOIN jobs j ON j.tier = a.tier AND j.id = a.job_id AND j.lease = a.lease
            WHERE NOT j.cancel_requested
              AND NOT EXISTS (SELECT FROM provider_pauses p WHERE p.provider = a.provider AND p.tenant IN ('', j.tenant))
            -- Batches that meet lock in one order.
            ORDER BY a.tier, a.job_id
            FOR SHARE OF j
        ), first AS (
            INSERT INTO effects (job_id, seq, generation, effect_id, tier, provider, function, class, request_hash,
                                 request, state, release, base_ms, deadline_at)
            SELECT job_id, seq, generation, effect_id, tier, provider, function, class, request_hash, request, 'started',
                   -- From when the locks were had: nobody lives longer than this says.
                   release, base_ms, clock_timestamp() + make_interval(secs => timeout)
            FROM mine WHERE NOT again
            RETURNING job_id, seq, tries
        ), further AS (
            UPDATE effects e
            SET state = 'started', tries = e.tries + 1, note = NULL,
                doubted = e.doubted OR e.class <> 'read' AND e.state IN ('started', 'doubt'),
                started_at = clock_timestamp(), deadline_at = clock_timestamp() + make_interval(secs => m.timeout)
            FROM mine m
            WHERE m.again AND e.job_id = m.job_id AND e.seq = m.seq AND e.state <> 'ended'
            RETURNING e.job_id, e.seq, e.tries
        )
        SELECT job_id AS "job_id!", seq AS "seq!", tries AS "tries!"
        FROM (SELECT * FROM first UNION ALL SELECT * FROM further) b
        "#,
        terms.synchronous_commit,
        terms.lock_timeout,
        &column!(s => s.job.0),
        &column!(s => s.tier.as_i16()),
        &column!(s => s.lease.0),
        &column!(s => int(s.seq)),
        &column!(s => int(s.generation)),
        &column!(s => s.effect_id.0),
        &column!(s => s.provider.to_owned()),
        &column!(s => s.function.to_owned()),
        &column!(s => s.class.as_str().to_owned()),
        &column!(s => s.request_hash.to_vec()),
        &column!(s => Json(&s.request)) as &[Json<&Value>],
        &column!(s => s.release.as_bytes().to_vec()),
        &column!(s => s.base_ms.cast_signed()),
        &column!(s => s.timeout.as_secs_f64()),
        &column!(s => s.again),
    )
    .fetch_all(db)
    .await?;
    let mut tries: HashMap<_, _> = rows.into_iter().map(|row| ((row.job_id, row.seq), row.tries)).collect();
    Ok(starts.iter().map(|s| tries.remove(&(s.job.0, int(s.seq)))).collect())
}

/// A final answer that needed no provider (denied, invalid): written with its end, under the same fence.
pub async fn record_refusal(db: &mut PgConnection, s: &Start, answer: &Answer) -> sqlx::Result<Option<u64>> {
    let ended = sqlx::query_scalar!(
        r#"
        INSERT INTO effects (job_id, seq, generation, effect_id, tier, provider, function, class, request_hash, request,
                             state, tries, release, base_ms, deadline_at, ended_at, answer)
        SELECT j.id, $4, $5, $6, j.tier, $7, $8, $9, $10, $11, 'ended', 0, $12, $13, now(), now(), $14
        FROM jobs j
        WHERE j.tier = $1 AND j.id = $2 AND j.lease = $3 AND NOT j.cancel_requested
        FOR SHARE
        -- One that surely did not happen ends with it.
        ON CONFLICT (job_id, seq) DO UPDATE SET state = 'ended', ended_at = now(), answer = excluded.answer, note = NULL
        WHERE effects.state <> 'ended'
        RETURNING ended_at AS "ended_at!"
        "#,
        s.tier.as_i16(),
        s.job.0,
        s.lease.0,
        int(s.seq),
        int(s.generation),
        s.effect_id.0,
        s.provider,
        s.function,
        s.class.as_str(),
        &s.request_hash,
        s.request,
        s.release.as_bytes(),
        s.base_ms.cast_signed(),
        serde_json::json!(answer),
    )
    .fetch_optional(db)
    .await?;
    Ok(ended.map(unix_ms))
}

/// The fence again, for a sender that was slow between start and send; its call may last until `timeout` from now.
/// `sender`: tier, job and lease.
pub async fn begin_again(
    db: &mut PgConnection,
    sender: (Tier, JobId, Lease),
    seq: u32,
    try_no: i32,
    timeout: Duration,
) -> sqlx::Result<bool> {
    let (tier, job, lease) = sender;
    let done = sqlx::query!(
        r#"
        WITH mine AS MATERIALIZED (
            SELECT id FROM jobs WHERE tier = $1 AND id = $2 AND lease = $3 FOR SHARE
        )
        UPDATE effects e SET deadline_at = clock_timestamp() + make_interval(secs => $6)
        FROM mine WHERE e.job_id = mine.id AND e.seq = $4 AND e.tries = $5 AND e.state = 'started'
        "#,
        tier.as_i16(),
        job.0,
        lease.0,
        int(seq),
        try_no,
        timeout.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The fence alone.
pub async fn still_mine(db: &mut PgConnection, tier: Tier, job: JobId, lease: Lease) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT true FROM jobs WHERE tier = $1 AND id = $2 AND lease = $3 FOR SHARE",
        tier.as_i16(),
        job.0,
        lease.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}
