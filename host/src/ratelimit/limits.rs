use std::{collections::BTreeMap, sync::Arc, time::Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Bucket, Limiter, Source, store};
use crate::config::RateLimit;

/// A bucket as people see it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RateLimit)]
pub struct Shown {
    pub bucket: String,
    /// `None`: it has no limit, and is held.
    pub rate: Option<String>,
    pub burst: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until: Option<DateTime<Utc>>,
    /// Calls that were told to come back.
    pub waiting: i64,
}

impl Limiter {
    /// All limits, as this node has them, and the buckets that are held or waited for. `tenant`: no other tenant's.
    pub async fn list(&self, tenant: Option<&str>) -> sqlx::Result<Vec<Shown>> {
        let rows = self.rows().await?;
        let may_see = |row: &&store::Row| tenant.is_none_or(|tenant| Bucket::named(&row.bucket).may_be_seen_by(tenant));
        let state = self.shared.state();
        let mut shown = BTreeMap::new();
        let configured: Vec<_> = state.book.configured().keys().map(|name| store::Row::of_config(name)).collect();
        for row in configured.iter().chain(rows.iter()).filter(may_see) {
            shown.insert(row.bucket.clone(), row.clone());
        }
        let show = |row: store::Row| {
            let (limit, source) = state.book.limit_and_source(&Bucket::named(&row.bucket)).unzip();
            Shown {
                rate: limit.map(|limit| limit.rate.to_string()),
                burst: limit.map(|limit| limit.burst()),
                source,
                bucket: row.bucket,
                changed_at: row.changed_at,
                held_until: row.held_until,
                waiting: row.waiting,
            }
        };
        Ok(shown.into_values().map(show).collect())
    }

    /// What the database says. Anybody may ask, as often as they like: so one asks at a time, and all who came before it began
    /// share what it saw.
    async fn rows(&self) -> sqlx::Result<Arc<Vec<store::Row>>> {
        let came = Instant::now();
        let mut last = self.shared.listed.lock().await;
        if let Some((_, rows)) = last.as_ref().filter(|(began, _)| *began >= came) {
            return Ok(Arc::clone(rows));
        }
        let began = Instant::now();
        let mut db = self.shared.pool.read().await?;
        let rows = Arc::new(store::list(&mut db).await?);
        drop(db);
        self.refresh().await?;
        *last = Some((began, Arc::clone(&rows)));
        Ok(rows)
    }

    /// Sets a limit at run time, in the caller's transaction. `None` takes it away, and the configuration's counts again, if
    /// there is one. The name must have passed `config::check_bucket`.
    pub async fn set(db: &mut PgConnection, bucket: &str, limit: Option<RateLimit>, by: &str) -> sqlx::Result<()> {
        store::set(db, bucket, limit, by).await
    }

    /// What counts for this bucket on this node, and who decided it.
    pub fn in_force(&self, bucket: &str) -> Option<(RateLimit, Source)> {
        self.shared.state().book.limit_and_source(&Bucket::named(bucket))
    }
}
