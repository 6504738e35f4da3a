use chrono::Utc;
use serde_json::json;
use sqlx::PgConnection;

use super::{OperateError, Operator};
use crate::{
    alerts,
    ids::JobId,
    queue::{Ready, store},
};

impl Operator {
    /// A job that came over under way from another queue is parked, and no journal says how far it came. An admin who retries
    /// it says that it did not happen: it runs. `None`: it is no such job. The caller writes down who said so.
    pub(super) async fn run_parked(
        &self,
        db: &mut PgConnection,
        id: JobId,
        by: &str,
    ) -> Result<Option<Vec<Ready>>, OperateError> {
        let parked = store::lock(db, id, None).await?.filter(|job| job.state == "dead" && !job.journaled);
        let Some(job) = parked else { return Ok(None) };
        let note = json!({ "kind": "resolved", "message": format!("it did not happen, says {by}"), "at": Utc::now() });
        let Some(ready) = store::unpark(db, job.tier, id, 1, &note).await? else { return Ok(None) };
        alerts::resolve(db, "unknown-outcome", &format!("job/{id}")).await?;
        Ok(Some(ready))
    }
}
