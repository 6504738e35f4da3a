use axum::{
    Json,
    body::Body,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{id, room};
use crate::{
    auth::Caller,
    http::{State, body::Fields, problem::Problem},
    webhooks::Replay,
};

/// `POST /webhook-endpoints/{id}/ping`: 202 with the id of a delivery of `webhook.ping`.
pub(in crate::http) async fn ping(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(endpoint): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (webhooks, tenant) = room(&state, &caller)?;
    let delivery = webhooks.ping(id(&endpoint)?, tenant).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "delivery": delivery }))))
}

/// `POST /webhook-endpoints/{id}/rotate`: a new secret, which only this answer holds. The one before signs until
/// `previousUntil`.
pub(in crate::http) async fn rotate(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(endpoint): Path<String>,
) -> Result<Json<Value>, Problem> {
    let (webhooks, tenant) = room(&state, &caller)?;
    let rotated = webhooks.rotate(id(&endpoint)?, tenant, &caller.subject).await?;
    Ok(Json(json!({ "secret": rotated.secret, "previousUntil": rotated.previous_until })))
}

/// `POST /webhook-endpoints/{id}/replay` with `{"delivery": "…"}`, or `{"since": "…", "delivered": true}`; without
/// `delivered`, what failed.
pub(in crate::http) async fn replay(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (webhooks, tenant) = room(&state, &caller)?;
    let id = id(&endpoint)?;
    let mut fields = Fields::read(&headers, body, &["delivery", "since", "delivered"]).await?;
    let delivery = fields.take("delivery")?;
    let since = fields.take::<DateTime<Utc>>("since")?;
    if since.is_some_and(|since| since > Utc::now() || since.timestamp() < 0) {
        return Err(Problem::field("/since", "must be a time in the past, and after 1970"));
    }
    let delivered = fields.take::<bool>("delivered")?;
    let what = match (delivery, since, delivered) {
        (Some(delivery), None, None) => Replay::One(delivery),
        (Some(_), Some(_), _) => return Err(Problem::field("/since", "goes without delivery")),
        (Some(_), _, Some(_)) => return Err(Problem::field("/delivered", "goes without delivery")),
        (None, Some(since), delivered) => Replay::Since { since, delivered: delivered.unwrap_or(false) },
        (None, None, _) => return Err(Problem::field("/delivery", "is missing, and so is since")),
    };
    let count = webhooks.replay(id, tenant, what, &caller.subject).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "replayed": count }))))
}
