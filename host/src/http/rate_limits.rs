use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{
    State,
    body::{self, Fields},
    caller::{admin, reads},
    problem::Problem,
    query::{Query, page_by_name},
};
use crate::{
    auth::Caller,
    config::{MOST, Rate, RateLimit, check_bucket},
};

/// `GET /rate-limits?limit=&cursor=`: how often providers are called and jobs are submitted, and what is held or waited for;
/// of tenants, the caller's own.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let shown = state.limiter.list(reads(&caller)?).await.map_err(|e| Problem::database(&e))?;
    let shown = shown.into_iter().map(|bucket| (bucket.bucket.clone(), json!(bucket))).collect();
    Ok(Json(page_by_name(&query, "rateLimits", shown)?))
}

/// `PUT /rate-limits/{bucket}` with `{"rate": "100/s", "burst": 50}`; a rate of `null` takes away what was set, and the
/// configuration's limit counts again. Binds all nodes within moments.
pub(super) async fn set(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(bucket): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    if let Err(message) = check_bucket(&bucket) {
        let message = format!("There is no \"{bucket}\" to limit: {message}.");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", message));
    }
    let mut fields = Fields::read(&headers, body, &["rate", "burst"]).await?;
    let rate = fields.raw("rate").ok_or_else(|| Problem::field("/rate", "is missing; null takes the limit away"))?;
    let rate: Option<Rate> =
        serde_json::from_str(rate.get()).map_err(|error| Problem::field("/rate", said(&error.to_string())))?;
    let burst = match fields.raw("burst").filter(|burst| burst.get() != "null") {
        None => None,
        Some(burst) => Some(
            body::value::<u32>(&burst)
                .map_err(|_| Problem::field("/burst", format!("must be a whole number from 1 to {MOST}")))?,
        ),
    };
    let limit = match (rate, burst) {
        (Some(rate), burst) => Some(RateLimit { rate, burst }),
        (None, None) => None,
        (None, Some(_)) => return Err(Problem::field("/burst", "goes with a rate only")),
    };
    if let Some((field, message)) = limit.as_ref().and_then(RateLimit::finding) {
        return Err(Problem::field(&format!("/{field}"), message));
    }
    let now = state.operator.set_rate_limit(&state.limiter, &bucket, limit, &caller.subject).await?;
    let (now, source) = now.unzip();
    Ok(Json(json!({
        "bucket": bucket,
        "rate": now.map(|limit| limit.rate.to_string()),
        "burst": now.map(|limit| limit.burst()),
        "source": source,
    })))
}

/// Without the place, which is the whole value.
fn said(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}
