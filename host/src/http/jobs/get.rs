use axum::{
    Json,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    resource::Job,
    wait::{is_over, look, wait},
};
use crate::{
    auth::Caller,
    http::{State, caller::reads, prefer, problem::Problem},
};

/// `GET /jobs/{id}`: another tenant's job is not there. With `Prefer: wait=N` the answer comes when the job ends, or as 202
/// when the time is over.
pub(in crate::http) async fn get(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = reads(&caller)?;
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let Some(time) = prefer::wait(&headers) else {
        let job = look(&state, id, tenant).await?;
        return job.map(|view| Json(Job::from(view)).into_response()).ok_or_else(Problem::not_found);
    };
    let job = wait(&state, id, tenant, time).await?.ok_or_else(Problem::not_found)?;
    let status = if is_over(&job.state) { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, [prefer::applied(time)], Json(Job::from(job))).into_response())
}
