use std::time::Duration;

use crate::{
    http::{State, problem::Problem},
    ids::JobId,
    queue::{self, JobView},
};

/// A job in one of these states ends no more, unless a person starts it again.
pub(super) fn is_over(state: &str) -> bool {
    matches!(state, "completed" | "cancelled" | "dead")
}

/// The job when it has ended, or as it is when the time is over or this host stops; `None`: it is not there. It may end on
/// any node. There is one look before and one after, and none between.
pub(super) async fn wait(
    state: &State,
    id: JobId,
    tenant: Option<&str>,
    time: Duration,
) -> Result<Option<JobView>, Problem> {
    // Before the look, so that an end between the two is not missed. Dropped with the request, also when its caller goes.
    let waiting = state.operator.bell.waits().begin(id, tenant);
    let seen = look(state, id, tenant).await?;
    let is_there = seen.as_ref().is_some_and(|job| !is_over(&job.state));
    let Some(waiting) = waiting.filter(|_| is_there) else { return Ok(seen) };
    // Its payload may be long, and so may the wait.
    drop(seen);
    // Either way it is looked at again.
    let _ = tokio::time::timeout(time, waiting.ended()).await;
    look(state, id, tenant).await
}

/// Another tenant's job is not there.
pub(super) async fn look(state: &State, id: JobId, tenant: Option<&str>) -> Result<Option<JobView>, Problem> {
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    queue::store::get(&mut db, id, tenant).await.map_err(|e| Problem::database(&e))
}
