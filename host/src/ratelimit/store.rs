use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::NEWS;
use crate::config::RateLimit;

/// Calls of one statement, and the buckets they need: `of_effect` and `of_bucket` are pairs, by call, counted from 1.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub buckets: Vec<String>,
    pub rates: Vec<f64>,
    pub bursts: Vec<i32>,
    pub wants: Vec<i32>,
    pub effects: Vec<Uuid>,
    pub of_effect: Vec<i32>,
    pub of_bucket: Vec<i32>,
}

/// The answer: for each call whether it passes and after how long, and for each bucket the tokens ahead.
#[derive(Debug)]
pub(super) struct Taken {
    pub version: i64,
    pub goes: Vec<bool>,
    pub waits: Vec<f64>,
    pub tokens: Vec<i32>,
}

pub(super) async fn take(db: &mut PgConnection, calls: &Calls, patience: Duration) -> sqlx::Result<Taken> {
    sqlx::query_as!(
        Taken,
        r#"
        SELECT version AS "version!", goes AS "goes!", waits AS "waits!", tokens AS "tokens!"
        FROM usher_rate_take($1, $2, $3, $4, $5, $6, $7, $8)
        "#,
        &calls.buckets,
        &calls.rates,
        &calls.bursts,
        &calls.wants,
        &calls.effects,
        &calls.of_effect,
        &calls.of_bucket,
        patience.as_secs_f64(),
    )
    .fetch_one(db)
    .await
}

/// Submits of one statement, and how much they take from which buckets: `of_call`, `of_bucket` and `counts` go together, by
/// submit; the first two are counted from 1.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub buckets: Vec<String>,
    pub rates: Vec<f64>,
    pub bursts: Vec<i32>,
    pub wants: Vec<i32>,
    pub of_call: Vec<i32>,
    pub of_bucket: Vec<i32>,
    pub counts: Vec<i32>,
    pub calls: i32,
}

/// The answer: for each submit whether it passes, or else after how long there may be room, and for each bucket the tokens
/// that are left there and those ahead.
#[derive(Debug)]
pub(super) struct Entered {
    pub version: i64,
    pub goes: Vec<bool>,
    pub waits: Vec<f64>,
    pub rooms: Vec<f64>,
    pub tokens: Vec<i32>,
}

pub(super) async fn enter(db: &mut PgConnection, entries: &Entries) -> sqlx::Result<Entered> {
    sqlx::query_as!(
        Entered,
        r#"
        SELECT version AS "version!", goes AS "goes!", waits AS "waits!", rooms AS "rooms!", tokens AS "tokens!"
        FROM usher_rate_enter($1, $2, $3, $4, $5, $6, $7, $8)
        "#,
        &entries.buckets,
        &entries.rates,
        &entries.bursts,
        &entries.wants,
        &entries.of_call,
        &entries.of_bucket,
        &entries.counts,
        entries.calls,
    )
    .fetch_one(db)
    .await
}

pub(super) async fn hold(db: &mut PgConnection, bucket: &str, time: Duration, burst: Option<i32>) -> sqlx::Result<()> {
    sqlx::query!("SELECT usher_rate_hold($1, $2, $3)", bucket, time.as_secs_f64(), burst).execute(db).await?;
    Ok(())
}

/// What nodes know without asking, as of one moment.
#[derive(Debug)]
pub(super) struct News {
    pub version: i64,
    pub limits: BTreeMap<String, RateLimit>,
    pub held: Vec<(String, Duration)>,
}

pub(super) async fn news(db: &mut PgConnection) -> sqlx::Result<News> {
    let row = sqlx::query!(
        r#"
        SELECT version,
               ARRAY(SELECT bucket FROM rate_limits ORDER BY bucket) AS "buckets!: Vec<String>",
               ARRAY(SELECT rate FROM rate_limits ORDER BY bucket) AS "rates!: Vec<String>",
               ARRAY(SELECT burst FROM rate_limits ORDER BY bucket) AS "bursts!: Vec<i32>",
               ARRAY(SELECT bucket FROM rate_buckets WHERE held_until > now() ORDER BY bucket) AS "held!: Vec<String>",
               ARRAY(SELECT extract(epoch FROM held_until - now())::float8 FROM rate_buckets
                     WHERE held_until > now() ORDER BY bucket) AS "times!: Vec<f64>"
        FROM rate_news
        "#
    )
    .fetch_one(db)
    .await?;
    let limits = row.buckets.into_iter().zip(row.rates.iter().zip(row.bursts));
    let limits = limits.filter_map(|(bucket, (rate, burst))| Some((bucket, understood(rate, burst)?))).collect();
    let held = row.held.into_iter().zip(row.times.into_iter().map(seconds)).collect();
    Ok(News { version: row.version, limits, held })
}

/// The table's CHECKs allow nothing else, unless a newer version of ours has changed them.
fn understood(rate: &str, burst: i32) -> Option<RateLimit> {
    let limit = rate.parse().ok().zip(u32::try_from(burst).ok());
    if limit.is_none() {
        tracing::warn!(rate, burst, "a rate limit in the database is not understood and does not count here");
    }
    limit.map(|(rate, burst)| RateLimit { rate, burst: Some(burst) })
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

/// Sets a limit (`None`: takes it away), and tells all nodes.
pub(super) async fn set(db: &mut PgConnection, bucket: &str, limit: Option<RateLimit>, by: &str) -> sqlx::Result<()> {
    match limit {
        Some(limit) => {
            sqlx::query!(
                r#"
                INSERT INTO rate_limits (bucket, rate, burst, changed_by) VALUES ($1, $2, $3, $4)
                ON CONFLICT (bucket) DO UPDATE SET rate = $2, burst = $3, changed_at = now(), changed_by = $4
                "#,
                bucket,
                limit.rate.to_string(),
                limit.burst().cast_signed(),
                by,
            )
            .execute(&mut *db)
            .await?;
        }
        None => {
            sqlx::query!("DELETE FROM rate_limits WHERE bucket = $1", bucket).execute(&mut *db).await?;
        }
    }
    sqlx::query!("UPDATE rate_news SET version = version + 1").execute(&mut *db).await?;
    sqlx::query!("SELECT pg_notify($1, '')", NEWS).execute(db).await?;
    Ok(())
}

/// What there is to show of a bucket.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub bucket: String,
    /// Set at run time, then.
    pub changed_at: Option<DateTime<Utc>>,
    pub held_until: Option<DateTime<Utc>>,
    pub waiting: i64,
}

impl Row {
    /// One that only the configuration knows of.
    pub fn of_config(bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), changed_at: None, held_until: None, waiting: 0 }
    }
}

/// Buckets whose limit was set at run time, that are held, or in which somebody waits.
pub(super) async fn list(db: &mut PgConnection) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"
        SELECT n.bucket AS "bucket!", l.changed_at AS "changed_at?",
               CASE WHEN b.held_until > now() THEN b.held_until END AS held_until, coalesce(s.waiting, 0) AS "waiting!"
        FROM (SELECT bucket FROM rate_limits
              UNION SELECT bucket FROM rate_buckets WHERE held_until > now()
              UNION SELECT bucket FROM rate_slots) AS n
        LEFT JOIN rate_limits l USING (bucket)
        LEFT JOIN rate_buckets b USING (bucket)
        LEFT JOIN (SELECT bucket, count(*) AS waiting FROM rate_slots GROUP BY bucket) AS s USING (bucket)
        "#
    )
    .fetch_all(db)
    .await
}

/// Lets go what nobody comes back for, at most `most` of each: slots whose time is over, and buckets that are full again, as
/// those are that have no row.
pub async fn clear_up(db: &mut PgConnection, most: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        DELETE FROM rate_slots WHERE (effect_id, bucket) IN (
            SELECT effect_id, bucket FROM rate_slots WHERE until < now() ORDER BY until LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        "#,
        most,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        r#"
        DELETE FROM rate_buckets WHERE bucket IN (
            SELECT b.bucket FROM rate_buckets b
            WHERE b.since < now() - interval '10 minutes'
              AND greatest(b.line, b.passed) <= b.refilled + coalesce(extract(epoch FROM now() - b.since)::float8 * b.rate, 0)
              AND NOT EXISTS (SELECT FROM rate_slots s WHERE s.bucket = b.bucket)
            LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        "#,
        most,
    )
    .execute(db)
    .await?;
    Ok(())
}
