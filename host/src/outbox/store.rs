//! All SQL that reads the outbox; it is written by the statements of `queue` and `submit`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    event::{Event, Position},
    hub::Filter,
};
use crate::ids::JobId;

/// Where the log of events stands.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub era: i64,
    /// All transactions below this number have ended.
    pub horizon: i64,
}

/// Beyond its retention the log is wanted for so long: hosts put it off every half minute.
const LEEWAY: Duration = Duration::from_secs(120);

/// Makes all nodes write events until `retention` from now. Where the time that was set had passed, or is about to, a batch
/// may not have been written, and the era is another one. So it is after the server was started anew: after a crash it may
/// give the numbers of lost transactions out again.
pub async fn keep(db: &mut PgConnection, retention: Duration) -> sqlx::Result<Head> {
    let row = sqlx::query!(
        r#"
        UPDATE event_log
        SET era = CASE WHEN until < now() + interval '30 seconds' OR server <> pg_postmaster_start_time()
                       THEN floor(random() * 9007199254740992)::bigint ELSE era END,
            server = pg_postmaster_start_time(),
            until = greatest(until, now() + make_interval(secs => $1))
        RETURNING era, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "horizon!"
        "#,
        (retention + LEEWAY).as_secs_f64(),
    )
    .fetch_one(db)
    .await?;
    Ok(Head { era: row.era, horizon: row.horizon })
}

/// A row of the outbox; its arrays run side by side.
#[derive(Debug)]
pub struct Batch {
    pub xid: i64,
    pub seq: i64,
    pub at: DateTime<Utc>,
    pub tenants: Vec<String>,
    pub jobs: Vec<Uuid>,
    pub job_types: Vec<String>,
    pub events: Vec<String>,
    pub reasons: Vec<Option<String>>,
}

/// What a look brought.
#[derive(Debug)]
pub struct Look {
    pub batches: Vec<Batch>,
    /// Up to here nothing is left, if there is no more than was asked for.
    pub horizon: i64,
    /// There is something beyond the horizon: an earlier transaction is still under way.
    pub held: bool,
}

/// The next batches in order. A transaction's number is drawn when it first writes, so one that is still under way may come
/// before what is there already: nothing at or beyond the oldest of them is read.
pub async fn read(db: &mut PgConnection, after: Position, most: i64) -> sqlx::Result<Look> {
    let rows = sqlx::query!(
        r#"
        SELECT h.horizon AS "horizon!",
               EXISTS (SELECT FROM outbox l WHERE l.xid >= h.horizon AND l.at < now() + interval '1 day') AS "held!",
               o.xid AS "xid?", o.seq AS "seq?", o.at AS "at?", o.tenants AS "tenants?: Vec<String>",
               o.job_ids AS "job_ids?: Vec<Uuid>", o.job_types AS "job_types?: Vec<String>",
               o.events AS "events?: Vec<String>", o.reasons AS "reasons?: Vec<Option<String>>"
        FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon) AS h
        LEFT JOIN LATERAL (
            SELECT * FROM outbox
            -- The days that are made ahead are empty.
            WHERE (xid, seq) > ($1::bigint, $2::bigint) AND xid < h.horizon AND at < now() + interval '1 day'
            ORDER BY xid, seq LIMIT $3
        ) AS o ON true
        ORDER BY o.xid, o.seq
        "#,
        after.xid,
        after.seq,
        most,
    )
    .fetch_all(db)
    .await?;
    let mut look = Look { batches: Vec::with_capacity(rows.len()), horizon: after.xid, held: false };
    for row in rows {
        (look.horizon, look.held) = (row.horizon, row.held);
        let (Some(xid), Some(seq), Some(at)) = (row.xid, row.seq, row.at) else { continue };
        look.batches.push(Batch {
            xid,
            seq,
            at,
            tenants: row.tenants.unwrap_or_default(),
            jobs: row.job_ids.unwrap_or_default(),
            job_types: row.job_types.unwrap_or_default(),
            events: row.events.unwrap_or_default(),
            reasons: row.reasons.unwrap_or_default(),
        });
    }
    Ok(look)
}

impl Batch {
    /// Its events, each with its place.
    pub fn events(&self) -> impl Iterator<Item = (Position, Event)> {
        let parts = self.tenants.iter().zip(&self.jobs).zip(&self.job_types).zip(&self.events);
        parts.zip(1_i64..).map(move |((((tenant, job), job_type), event), n)| {
            let reason = usize::try_from(n - 1).ok().and_then(|n| self.reasons.get(n)).cloned().flatten();
            let position = Position { xid: self.xid, seq: self.seq, n };
            (position, made(*job, tenant.clone(), job_type.clone(), event, reason, self.at))
        })
    }
}

fn made(job: Uuid, tenant: String, job_type: String, event: &str, reason: Option<String>, at: DateTime<Utc>) -> Event {
    let state = event.strip_prefix("job.").unwrap_or(event).to_owned();
    Event { job: JobId(job), tenant, job_type, state, reason, at }
}

/// A part of what a client missed.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<(Position, Event)>,
    /// Where the next one begins; `None`: this was the last.
    pub next: Option<Position>,
}

/// Events and batches of one page.
const PAGE: i64 = 256;
const BATCHES: i64 = 32;

/// Of what lies behind `after` and not beyond `end`, which a reader has passed, so that it does not change any more.
pub async fn page(db: &mut PgConnection, after: Position, end: Position, filter: &Filter) -> sqlx::Result<Page> {
    let rows = sqlx::query!(
        r#"
        WITH b AS MATERIALIZED (
            SELECT xid, seq, at, tenants, job_ids, job_types, events, reasons FROM outbox
            WHERE (xid, seq) >= ($1::bigint, $2::bigint) AND (xid, seq) <= ($4::bigint, $5::bigint)
              AND at < now() + interval '1 day'
            ORDER BY xid, seq LIMIT $6
        )
        SELECT b.xid AS "xid!", b.seq AS "seq!", b.at AS "at!", u.n AS "n?", u.tenant AS "tenant?", u.job AS "job?",
               u.job_type AS "job_type?", u.event AS "event?", u.reason AS "reason?"
        -- A batch without anything for the client is there once, as a place to go on from.
        FROM b LEFT JOIN LATERAL (
            SELECT x.tenant, x.job, x.job_type, x.event, x.reason, x.n
            FROM unnest(b.tenants, b.job_ids, b.job_types, b.events, b.reasons) WITH ORDINALITY
                 AS x (tenant, job, job_type, event, reason, n)
            WHERE ($8::text IS NULL OR x.tenant = $8) AND ($9::uuid IS NULL OR x.job = $9)
              AND ($10::text IS NULL OR x.job_type = $10) AND ($11::text IS NULL OR x.event = 'job.' || $11)
              AND ((b.xid, b.seq) > ($1::bigint, $2::bigint) OR x.n > $3)
              AND ((b.xid, b.seq) < ($4::bigint, $5::bigint) OR x.n <= $12)
        ) AS u ON true
        ORDER BY b.xid, b.seq, u.n
        LIMIT $7
        "#,
        after.xid,
        after.seq,
        after.n,
        end.xid,
        end.seq,
        BATCHES,
        PAGE,
        filter.tenant,
        filter.job.map(|job| job.0),
        filter.job_type,
        filter.state,
        end.n,
    )
    .fetch_all(db)
    .await?;
    let mut page = Page { events: Vec::new(), next: None };
    let mut batches = 0;
    let mut last: Option<Position> = None;
    let full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= PAGE);
    for row in rows {
        if last.is_none_or(|last| (last.xid, last.seq) != (row.xid, row.seq)) {
            batches += 1;
        }
        let mut position = Position::behind(row.xid, row.seq);
        if let (Some(n), Some(tenant), Some(job), Some(job_type), Some(event)) =
            (row.n, row.tenant, row.job, row.job_type, row.event)
        {
            position.n = n;
            page.events.push((position, made(job, tenant, job_type, &event, row.reason, row.at)));
        }
        last = Some(position);
    }
    if full || batches >= BATCHES {
        page.next = last;
    }
    Ok(page)
}
