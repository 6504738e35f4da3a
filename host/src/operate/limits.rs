use serde_json::json;

use super::{OperateError, Operator};
use crate::{
    audit,
    queue::store::{self, Limit},
};

impl Operator {
    pub async fn limits(&self) -> Result<Vec<Limit>, OperateError> {
        let mut db = self.pool.read().await?;
        Ok(store::limits(&mut db).await?)
    }

    /// At most `max` jobs of this scope (`queue/NAME`, `type/NAME`) at once, on all nodes together; `None`: no limit.
    pub async fn set_limit(&self, scope: &str, max: Option<i32>, by: &str) -> Result<(), OperateError> {
        let mut tx = self.pool.begin_with("SET LOCAL lock_timeout = '5s'").await?;
        let ready = store::set_limit(&mut tx, scope, max, by).await?;
        audit::write(&mut tx, by, None, "limit.set", &format!("limit/{scope}"), json!({ "max": max })).await?;
        tx.commit().await?;
        self.bell.ready(&ready);
        Ok(())
    }
}
