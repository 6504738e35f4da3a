use axum::{
    Json,
    body::Body,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use crate::{
    auth::Caller,
    http::{State, body::Fields, caller::changes, problem::Problem},
    ids::{Digest, JobId},
};

/// `POST /jobs/{id}/retry`, optionally `{"release": "sha256:…"}`: a dead job begins again under its id.
pub(in crate::http) async fn retry(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let tenant = changes(&caller)?;
    let id: JobId = id.parse().map_err(|_| Problem::not_found())?;
    let mut fields = Fields::read_optional(&headers, body, &["release"]).await?;
    let release = match fields.take::<String>("release")? {
        Some(text) => Some(text.parse::<Digest>().map_err(|e| Problem::field("/release", e))?),
        None => None,
    };
    state.operator.retry(id, tenant, release, &caller.subject).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "state": "ready" }))))
}
