use serde_json::json;

use super::{OperateError, Operator};
use crate::{
    audit,
    config::RateLimit,
    ratelimit::{Limiter, Source},
};

impl Operator {
    /// Sets a rate limit for all nodes. `None` takes it away, and the configuration's counts again, if there is one: what
    /// counts now is returned, with its source. The name must have passed `config::check_bucket`.
    pub async fn set_rate_limit(
        &self,
        limiter: &Limiter,
        bucket: &str,
        limit: Option<RateLimit>,
        by: &str,
    ) -> Result<Option<(RateLimit, Source)>, OperateError> {
        let mut tx = self.pool.begin_with("SET LOCAL lock_timeout = '5s'").await?;
        Limiter::set(&mut tx, bucket, limit, by).await?;
        let (rate, burst) = limit.map(|limit| (limit.rate.to_string(), limit.burst())).unzip();
        let detail = json!({ "rate": rate, "burst": burst });
        audit::write(&mut tx, by, None, "rate-limit.set", &format!("rate-limit/{bucket}"), detail).await?;
        tx.commit().await?;
        limiter.refresh().await?;
        Ok(limiter.in_force(bucket))
    }
}
