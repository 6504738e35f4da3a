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
    caller::admin,
    problem::Problem,
    query::{Query, page_by_name},
};
use crate::auth::Caller;

/// `GET /limits?limit=&cursor=`: how many jobs of a queue or type may be under way at once in the cluster, and how many are.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let limits = state.operator.limits().await?;
    let limits = limits.into_iter().map(|limit| (limit.scope.clone(), json!(limit))).collect();
    Ok(Json(page_by_name(&query, "limits", limits)?))
}

/// `PUT /limits/{scope}` with `{"max": 5}`; `null` takes the limit away. In the whole cluster: `queue/NAME`, `type/NAME`;
/// on each node: `node`, `node/queue/NAME`, `node/type/NAME`, which nodes know of with their next heartbeat.
pub(super) async fn set(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(scope): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let of_what = scope.strip_prefix("node/").unwrap_or(&scope);
    let known = match of_what.split_once('/') {
        Some(("queue", name)) => state.queues.0.contains_key(name),
        Some(("type", name)) => state.submitter.catalog().get(name).is_some(),
        _ => scope == "node",
    };
    if !known {
        let message = format!(
            "There is no \"{scope}\" to limit; it is queue/NAME or type/NAME for the cluster, and node, node/queue/NAME or node/type/NAME for each node."
        );
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", message));
    }
    let mut fields = Fields::read(&headers, body, &["max"]).await?;
    let max = fields.raw("max").ok_or_else(|| Problem::field("/max", "is missing; null takes the limit away"))?;
    let max = body::value::<Option<i32>>(&max).ok().filter(|max| max.is_none_or(|max| max >= 0));
    let max = max.ok_or_else(|| Problem::field("/max", "must be a whole number from 0 on, or null"))?;
    state.operator.set_limit(&scope, max, &caller.subject).await?;
    Ok(Json(json!({ "scope": scope, "max": max })))
}
