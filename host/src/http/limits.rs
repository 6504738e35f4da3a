use axum::{
    Json,
    body::Body,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{State, body::Fields, caller::admin, problem::Problem};
use crate::auth::Caller;

/// `GET /limits`: how many jobs of a queue or type may be under way at once in the cluster, and how many are.
pub(super) async fn list(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    Ok(Json(json!({ "limits": state.operator.limits().await? })))
}

/// `PUT /limits/{queue|type}/{name}` with `{"max": 5}`; `null` takes the limit away.
pub(super) async fn set(
    Shared(state): Shared<State>,
    caller: Caller,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let known = match kind.as_str() {
        "queue" => state.queues.0.contains_key(&name),
        "type" => state.submitter.catalog().get(&name).is_some(),
        _ => false,
    };
    if !known {
        let message = format!("There is no {kind} \"{name}\" to limit; it is /limits/queue/NAME or /limits/type/NAME.");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", message));
    }
    let mut fields = Fields::read(&headers, body, &["max"]).await?;
    let max = fields.raw("max").ok_or_else(|| Problem::field("/max", "is missing; null takes the limit away"))?;
    let max = serde_json::from_str::<Option<i32>>(max.get()).ok().filter(|max| max.is_none_or(|max| max >= 0));
    let max = max.ok_or_else(|| Problem::field("/max", "must be a whole number from 0 on, or null"))?;
    let scope = format!("{kind}/{name}");
    state.operator.set_limit(&scope, max, &caller.subject).await?;
    Ok(Json(json!({ "scope": scope, "max": max })))
}
