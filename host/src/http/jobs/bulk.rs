use axum::{
    Json,
    body::Body,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use crate::{
    auth::Caller,
    http::{State, body::Fields, caller::admin, problem::Problem},
    queue::store::DeadFilter,
};

/// Jobs a second where the request names no rate.
const DEFAULT_RATE: i32 = 50;
const REASONS: [&str; 5] = ["retries-exhausted", "permanent", "expired", "trapped", "nondeterministic"];

/// `POST /jobs/bulk/retry` with `{"filter": {…}, "rate": 50, "preview": true}`: which dead jobs, and how fast. A preview
/// changes nothing.
pub(in crate::http) async fn bulk_retry(
    Shared(state): Shared<State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    admin(&caller)?;
    let mut fields = Fields::read(&headers, body, &["filter", "rate", "preview"]).await?;
    let filter: DeadFilter = fields.take("filter")?.ok_or_else(|| Problem::field("/filter", "is missing"))?;
    if let Some(reason) = &filter.reason
        && !REASONS.contains(&reason.as_str())
    {
        return Err(Problem::field("/filter/reason", format!("must be one of {}", REASONS.join(", "))));
    }
    if let (Some(after), Some(before)) = (filter.finished_after, filter.finished_before)
        && after >= before
    {
        return Err(Problem::field("/filter/finishedBefore", "is not after finishedAfter"));
    }
    for (name, text) in [("type", &filter.job_type), ("queue", &filter.queue), ("tenant", &filter.tenant)] {
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(Problem::field(&format!("/filter/{name}"), "holds a NUL character"));
        }
    }
    let rate = fields.take("rate")?.unwrap_or(DEFAULT_RATE);
    if !(1..=10_000).contains(&rate) {
        return Err(Problem::field("/rate", "must be from 1 to 10,000 jobs a second"));
    }
    if fields.take("preview")?.unwrap_or(false) {
        let preview = state.operator.preview(&filter).await?;
        return Ok((StatusCode::OK, Json(json!({ "matches": preview.matches, "sample": preview.sample }))));
    }
    let id = state.operator.redrive(&filter, rate, &caller.subject).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "state": "running" }))))
}

/// `GET /jobs/bulk/{id}`: how far a bulk redrive came.
pub(in crate::http) async fn bulk(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let no_such = || Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such bulk redrive.");
    let id = id.parse().map_err(|_| no_such())?;
    let bulk = state.operator.bulk(id).await?.ok_or_else(no_such)?;
    Ok(Json(json!(bulk)))
}
