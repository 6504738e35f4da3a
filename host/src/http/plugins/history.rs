use axum::{
    Json,
    extract::{Path, RawQuery, State as Shared},
    http::StatusCode,
};
use serde_json::{Value, json};

use super::known;
use crate::{
    auth::Caller,
    http::{State, problem::Problem},
    operate::OperateError,
    releases::store,
};

const PAGE: i64 = 100;

/// `GET /plugins/{name}/releases?cursor=…`: who activated what and when, newest first.
pub(in crate::http) async fn history(
    Shared(state): Shared<State>,
    _: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let name = known(name)?;
    let mut before = None;
    for (parameter, value) in url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()) {
        let bad = |message: &str| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid-query", format!("{parameter}: {message}"))
                .with("parameter", parameter.as_ref())
        };
        before = match parameter.as_ref() {
            "cursor" => Some(value.parse::<i64>().map_err(|_| bad("is none of ours"))?),
            _ => return Err(bad("there is no such parameter")),
        };
    }
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let items = store::history(&mut db, &name, before, PAGE).await.map_err(|e| Problem::database(&e))?;
    if items.is_empty() && before.is_none() {
        return Err(OperateError::NoPlugin(name).into());
    }
    let full = i64::try_from(items.len()).is_ok_and(|n| n == PAGE);
    let next = items.last().filter(|_| full).and_then(|last| last.generation).map(|generation| generation.to_string());
    Ok(Json(json!({ "items": items, "nextCursor": next })))
}
