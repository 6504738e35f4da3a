use axum::{
    Json,
    extract::{Path, State as Shared},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    auth::Caller,
    http::{State, caller::changes, problem::Problem},
    ids::JobId,
    operate::Cancelled,
};

/// `DELETE /jobs/{id}`: 200 when it is over, 202 when it ends as soon as what it does is journaled.
pub(in crate::http) async fn cancel(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let tenant = changes(&caller)?;
    let id: JobId = id.parse().map_err(|_| Problem::not_found())?;
    Ok(match state.operator.cancel(id, tenant, &caller.subject).await? {
        Cancelled::Done => (StatusCode::OK, Json(json!({ "id": id, "state": "cancelled" }))).into_response(),
        Cancelled::Requested => {
            (StatusCode::ACCEPTED, Json(json!({ "id": id, "cancelRequested": true }))).into_response()
        }
    })
}
