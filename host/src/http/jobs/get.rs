use axum::{
    Json,
    extract::{Path, State as Shared},
};

use super::resource::Job;
use crate::{
    auth::Caller,
    http::{State, caller::reads, problem::Problem},
    queue,
};

/// `GET /jobs/{id}`: another tenant's job is not there.
pub(in crate::http) async fn get(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Job>, Problem> {
    let tenant = reads(&caller)?;
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let job = queue::store::get(&mut db, id, tenant).await.map_err(|e| Problem::database(&e))?;
    job.map(|view| Json(Job::from(view))).ok_or_else(Problem::not_found)
}
