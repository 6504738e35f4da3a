use std::{collections::HashSet, time::Duration};

use sqlx::PgConnection;
use uuid::Uuid;

use super::limits::{Freed, Line, go_on};
use crate::{
    ids::{Digest, JobId, Lease, Tier},
    queue::{Ready, Tally},
};

/// What one attempt comes to.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub id: JobId,
    pub tier: Tier,
    /// `None`: nobody holds it, and nobody shall.
    pub lease: Option<Lease>,
    pub verdict: Verdict,
    /// Added to the job's errors.
    pub error: Option<serde_json::Value>,
    /// The release that ran it; `None`: none did.
    pub release: Option<Digest>,
    pub cpu: Duration,
    /// The guest's clock before its first effect, in milliseconds since the epoch; `None`: none ran.
    pub base_ms: Option<u64>,
    /// Where its row is on disk, as the claim saw it: a hint.
    pub place: Option<String>,
    /// It has rows in the journal, which go along into the archive.
    pub journaled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// JSON text.
    Completed { result: String },
    /// With one of the reasons of `jobs_archive.reason`.
    Dead { reason: &'static str },
    /// Somebody asked for it.
    Cancelled,
    /// Once more. `burn`: the attempt counts; otherwise it is given back, and counted as a snooze.
    Again { delay: Duration, burn: bool },
    /// Given back untouched: this node ends.
    Return,
    /// Stays among the live jobs, dead of `unknown-outcome`, until a person decides.
    Park,
}

impl Verdict {
    /// The job ends with it.
    fn is_final(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Dead { .. } | Self::Cancelled)
    }
}

/// What a settlement of many brought about.
#[derive(Debug, Default)]
pub struct Settled {
    /// Those whose lease was still held.
    pub ids: HashSet<JobId>,
    /// Where some of them are ready again.
    pub ready: Vec<Ready>,
    /// How many ended, by queue and state.
    pub finished: Tally,
    pub dead: Vec<Dead>,
    /// All that ended, and what waits for a person: nobody waits for these any longer.
    pub over: Vec<JobId>,
}

/// A job that ended dead.
#[derive(Clone, Debug)]
pub struct Dead {
    pub id: JobId,
    pub tenant: String,
    pub job_type: String,
    pub queue: String,
    pub reason: String,
    /// How often it was started again before.
    pub redrives: i32,
}

/// Settles all of one tier in the caller's transaction.
pub async fn settle(db: &mut PgConnection, tier: Tier, all: &[&Settlement]) -> sqlx::Result<Settled> {
    let (finished, going_on): (Vec<_>, Vec<_>) = all.iter().copied().partition(|s| s.verdict.is_final());
    let (journaled, plain): (Vec<_>, Vec<_>) = finished.into_iter().partition(|s| s.journaled);
    let mut settled = Settled { ids: HashSet::with_capacity(all.len()), ..Settled::default() };
    let mut freed = Freed::default();
    if !plain.is_empty() {
        let (placed, mut rest): (Vec<_>, Vec<_>) = plain.into_iter().partition(|s| s.place.is_some());
        if !placed.is_empty() {
            gone(archive_at(db, tier, &Finished::of(&placed)).await?, &mut settled, &mut freed);
            rest.extend(placed.into_iter().filter(|s| !settled.ids.contains(&s.id)));
        }
        if !rest.is_empty() {
            gone(archive(db, tier, &Finished::of(&rest)).await?, &mut settled, &mut freed);
        }
    }
    if !journaled.is_empty() {
        gone(archive_with_journal(db, tier, &Finished::of(&journaled)).await?, &mut settled, &mut freed);
    }
    if !going_on.is_empty() {
        put_back(db, tier, &going_on, &mut settled, &mut freed).await?;
    }
    settled.ready.extend(go_on(db, &freed).await?);
    Ok(settled)
}

/// A row that has left for the archive.
struct Gone {
    id: Uuid,
    limited: bool,
    queue: String,
    state: String,
    ordering_key: Option<String>,
    /// Of the dead, and of those with an ordering key.
    tenant: Option<String>,
    /// These are of the dead.
    job_type: Option<String>,
    reason: Option<String>,
    redrives: Option<i32>,
}

fn gone(rows: Vec<Gone>, settled: &mut Settled, freed: &mut Freed) {
    for row in rows {
        settled.ids.insert(JobId(row.id));
        settled.over.push(JobId(row.id));
        freed.slots |= row.limited;
        settled.finished.add(&row.queue, &row.state, 1);
        if let (Some(tenant), Some(key)) = (&row.tenant, row.ordering_key) {
            freed.lines.push(Line { queue: row.queue.clone(), tenant: tenant.clone(), key });
        }
        if let (Some(tenant), Some(job_type), Some(reason)) = (row.tenant, row.job_type, row.reason) {
            let redrives = row.redrives.unwrap_or(0);
            settled.dead.push(Dead { id: JobId(row.id), tenant, job_type, queue: row.queue, reason, redrives });
        }
    }
}

/// The columns of the finished.
struct Finished {
    ids: Vec<Uuid>,
    leases: Vec<Option<Uuid>>,
    states: Vec<String>,
    reasons: Vec<Option<String>>,
    results: Vec<Option<String>>,
    errors: Vec<Option<serde_json::Value>>,
    releases: Vec<Option<Vec<u8>>>,
    cpu_us: Vec<i64>,
    bases: Vec<Option<i64>>,
    places: Vec<Option<String>>,
}

impl Finished {
    fn of(all: &[&Settlement]) -> Self {
        let mut columns = Self {
            ids: ids(all),
            leases: leases(all),
            states: Vec::with_capacity(all.len()),
            reasons: Vec::with_capacity(all.len()),
            results: Vec::with_capacity(all.len()),
            errors: errors(all),
            releases: releases(all),
            cpu_us: all.iter().map(|s| i64::try_from(s.cpu.as_micros()).unwrap_or(i64::MAX)).collect(),
            bases: all.iter().map(|s| s.base_ms.and_then(|ms| i64::try_from(ms).ok())).collect(),
            places: all.iter().map(|s| s.place.clone()).collect(),
        };
        for s in all {
            let (state, reason, result) = match &s.verdict {
                Verdict::Completed { result } => ("completed", None, Some(result.clone())),
                Verdict::Dead { reason } => ("dead", Some((*reason).to_owned()), None),
                Verdict::Cancelled | Verdict::Again { .. } | Verdict::Return | Verdict::Park => {
                    ("cancelled", None, None)
                }
            };
            columns.states.push(state.to_owned());
            columns.reasons.push(reason);
            columns.results.push(result);
        }
        columns
    }
}

/// The rows leave the hot table for the archive, and their events go to the outbox, in one statement. `$find`: how a row
/// of `f` finds its job; `$journal` and `$entries`: where its journal comes from.
macro_rules! archive {
    ($db:expr, $tier:expr, $f:expr, $find:literal, $journal:literal, $entries:literal, $from:literal) => {
        sqlx::query_as!(
            Gone,
            r#"
            WITH f AS (
                SELECT * FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::jsonb[], $9::bytea[],
                                     $10::bigint[], $11::bigint[], $12::text[])
                     AS f (id, lease, final, why, result, error, ran, cpu_us, base_ms, at)
            ), d AS (
                DELETE FROM jobs j USING f
                WHERE j.tier = $1 AND j.id = f.id AND "# + $find + r#"
                RETURNING j.*, f.final, f.why, f.result, f.error, f.ran, f.cpu_us, f.base_ms
            ), "# + $journal + r#" a AS (
                INSERT INTO jobs_archive (keep, tier, id, tenant, job_type, queue, priority, state, reason, attempt,
                                          max_attempts, payload, metadata, subject, parent, accepted_by, release,
                                          ordering_key, idempotency_key, key_ttl_ms, key_hashes, redrives, generation,
                                          result, errors, journal, cpu_us, base_ms, created_at, run_at, expires_at)
                SELECT $2, d.tier, d.id, d.tenant, d.job_type, d.queue, d.priority, d.final, d.why, d.attempt,
                       d.max_attempts, d.payload, d.metadata, d.subject, d.parent, d.accepted_by,
                       coalesce(d.ran, d.release), d.ordering_key, d.idempotency_key, d.key_ttl_ms, d.key_hashes,
                       d.redrives, d.generation, d.result,
                       CASE WHEN d.error IS NULL THEN d.errors ELSE d.errors || d.error END, "# + $entries + r#",
                       d.cpu_us, d.base_ms, d.created_at, d.run_at, d.expires_at
                FROM "# + $from + r#"
            ), o AS (
                INSERT INTO outbox (tenants, job_ids, job_types, events, reasons)
                SELECT array_agg(d.tenant), array_agg(d.id), array_agg(d.job_type), array_agg('job.' || d.final),
                       array_agg(d.why)
                -- Asked once a statement: what nobody follows is not written.
                FROM d WHERE (SELECT until > now() FROM event_log) HAVING count(*) > 0
            )
            SELECT id AS "id!", limited AS "limited!", queue AS "queue!", final AS "state!", ordering_key,
                   CASE WHEN ordering_key IS NOT NULL OR final = 'dead' THEN tenant END AS tenant, why AS reason,
                   CASE WHEN final = 'dead' THEN job_type END AS job_type,
                   CASE WHEN final = 'dead' THEN redrives END AS redrives
            FROM d
            "#,
            $tier.as_i16(),
            $tier.keep(),
            &$f.ids,
            &$f.leases as &[Option<Uuid>],
            &$f.states,
            &$f.reasons as &[Option<String>],
            &$f.results as &[Option<String>],
            &$f.errors as &[Option<serde_json::Value>],
            &$f.releases as &[Option<Vec<u8>>],
            &$f.cpu_us,
            &$f.bases as &[Option<i64>],
            &$f.places as &[Option<String>],
        )
        .fetch_all($db)
        .await
    };
}

/// By their place on disk, which is the cheapest way: half of what a look into the primary key costs. A row that moved
/// meanwhile (somebody wants it cancelled) is not found.
async fn archive_at(db: &mut PgConnection, tier: Tier, f: &Finished) -> sqlx::Result<Vec<Gone>> {
    archive!(db, tier, f, "j.lease = f.lease AND j.ctid = f.at::tid", "", "NULL::jsonb", "d")
}

async fn archive(db: &mut PgConnection, tier: Tier, f: &Finished) -> sqlx::Result<Vec<Gone>> {
    archive!(db, tier, f, "j.lease IS NOT DISTINCT FROM f.lease", "", "NULL::jsonb", "d")
}

/// For jobs that have a journal, which moves into their row.
async fn archive_with_journal(db: &mut PgConnection, tier: Tier, f: &Finished) -> sqlx::Result<Vec<Gone>> {
    archive!(
        db,
        tier,
        f,
        "j.lease IS NOT DISTINCT FROM f.lease",
        r#"e AS (
            DELETE FROM effects x USING d WHERE x.job_id = d.id RETURNING x.*
        ), journal AS (
            SELECT e.job_id, jsonb_agg(jsonb_build_object(
                       'seq', e.seq, 'generation', e.generation, 'effectId', e.effect_id, 'provider', e.provider,
                       'function', e.function, 'class', e.class, 'requestHash', encode(e.request_hash, 'hex'),
                       'request', e.request, 'state', e.state, 'tries', e.tries, 'release', encode(e.release, 'hex'),
                       'baseMs', e.base_ms, 'firstAt', e.first_at, 'doubted', e.doubted, 'startedAt', e.started_at, 'endedAt', e.ended_at, 'answer', e.answer,
                       'note', e.note) ORDER BY e.seq) AS entries
            FROM e GROUP BY e.job_id
        ),"#,
        "journal.entries",
        "d LEFT JOIN journal ON journal.job_id = d.id"
    )
}

/// Retry, snooze, return and park: the row stays, without a lease.
async fn put_back(
    db: &mut PgConnection,
    tier: Tier,
    all: &[&Settlement],
    settled: &mut Settled,
    freed: &mut Freed,
) -> sqlx::Result<()> {
    let mut parks = Vec::with_capacity(all.len());
    let mut delays = Vec::with_capacity(all.len());
    let mut back = Vec::with_capacity(all.len());
    let mut snoozes = Vec::with_capacity(all.len());
    for s in all {
        let (park, delay, given_back, snooze) = match s.verdict {
            Verdict::Again { delay, burn } => (false, delay, !burn, !burn),
            Verdict::Return => (false, Duration::ZERO, true, false),
            Verdict::Park => (true, Duration::ZERO, false, false),
            Verdict::Completed { .. } | Verdict::Dead { .. } | Verdict::Cancelled => continue,
        };
        parks.push(park);
        delays.push(delay.as_secs_f64());
        back.push(i32::from(given_back));
        snoozes.push(snooze);
    }
    let rows = sqlx::query!(
        r#"
        WITH u AS (
        UPDATE jobs j
        SET state      = CASE WHEN f.park THEN 'dead' WHEN f.delay > 0 THEN 'scheduled' ELSE 'ready' END,
            reason     = CASE WHEN f.park THEN 'unknown-outcome' END,
            ord        = CASE WHEN NOT f.park AND f.delay = 0 THEN nextval('ready_seq') END,
            run_at     = CASE WHEN f.park THEN 'infinity' ELSE now() + make_interval(secs => f.delay) END,
            attempt    = j.attempt - f.back,
            snoozes    = CASE WHEN f.snooze THEN j.snoozes + 1 WHEN f.back = 1 THEN j.snoozes ELSE 0 END,
            lease      = NULL,
            node       = NULL,
            claimed_at = NULL,
            release    = coalesce(f.ran, j.release),
            errors     = CASE
                WHEN f.error IS NULL THEN j.errors
                -- A long outage is one entry that counts, not thousands.
                WHEN f.snooze AND j.errors -> -1 ->> 'kind' = f.error ->> 'kind' THEN
                    (j.errors - (-1)) || (f.error || jsonb_build_object('times', coalesce((j.errors -> -1 ->> 'times')::int, 1) + 1,
                                                                        'since', coalesce(j.errors -> -1 ->> 'since', j.errors -> -1 ->> 'at')))
                ELSE j.errors || f.error
            END
        FROM unnest($2::uuid[], $3::uuid[], $4::boolean[], $5::float8[], $6::int[], $7::boolean[], $8::jsonb[], $9::bytea[])
             AS f (id, lease, park, delay, back, snooze, error, ran)
        WHERE j.tier = $1 AND j.id = f.id AND j.lease = f.lease
        RETURNING j.id, j.tenant, j.job_type, j.state, j.reason, j.queue, j.priority, j.lane, j.ord, j.limited
        ), o AS (
            INSERT INTO outbox (tenants, job_ids, job_types, events, reasons)
            SELECT array_agg(u.tenant), array_agg(u.id), array_agg(u.job_type), array_agg('job.' || u.state),
                   array_agg(u.reason)
            FROM u WHERE (SELECT until > now() FROM event_log) HAVING count(*) > 0
        )
        SELECT id AS "id!", reason, queue AS "queue!", priority AS "priority!", lane AS "lane!", ord,
               limited AS "limited!"
        FROM u
        "#,
        tier.as_i16(),
        &ids(all),
        &leases(all) as &[Option<Uuid>],
        &parks,
        &delays,
        &back,
        &snoozes,
        &errors(all) as &[Option<serde_json::Value>],
        &releases(all) as &[Option<Vec<u8>>],
    )
    .fetch_all(db)
    .await?;
    for row in rows {
        settled.ids.insert(JobId(row.id));
        if row.reason.is_some() {
            settled.over.push(JobId(row.id));
        }
        // Put off, it gives its slot away; its turn in a line it keeps.
        freed.slots |= row.limited && row.ord.is_none();
        settled.ready.extend(row.ord.map(|ord| Ready {
            queue: row.queue,
            priority: row.priority,
            lane: row.lane,
            ord,
        }));
    }
    Ok(())
}

fn ids(all: &[&Settlement]) -> Vec<Uuid> {
    all.iter().map(|s| s.id.0).collect()
}

fn leases(all: &[&Settlement]) -> Vec<Option<Uuid>> {
    all.iter().map(|s| s.lease.map(|lease| lease.0)).collect()
}

fn errors(all: &[&Settlement]) -> Vec<Option<serde_json::Value>> {
    all.iter().map(|s| s.error.clone()).collect()
}

fn releases(all: &[&Settlement]) -> Vec<Option<Vec<u8>>> {
    all.iter().map(|s| s.release.map(|d| d.as_bytes().to_vec())).collect()
}
