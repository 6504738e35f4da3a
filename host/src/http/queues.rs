use axum::{
    Json,
    body::Body,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{State, body::Fields, caller::admin, problem::Problem};
use crate::{auth::Caller, queue::store};

/// `GET /queues`: as this host has them, and which are paused.
pub(super) async fn list(Shared(state): Shared<State>, _: Caller) -> Result<Json<Value>, Problem> {
    let paused = paused(&state).await?;
    let queues: Vec<_> = state.queues.0.keys().map(|name| shown(&state, name, &paused)).collect();
    Ok(Json(json!({ "queues": queues })))
}

/// `GET /queues/{name}`.
pub(super) async fn one(
    Shared(state): Shared<State>,
    _: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    if !state.queues.0.contains_key(&name) {
        return Err(crate::operate::OperateError::NoQueue(name).into());
    }
    Ok(Json(shown(&state, &name, &paused(&state).await?)))
}

async fn paused(state: &State) -> Result<Vec<String>, Problem> {
    let mut db = state.pool.acquire().await.map_err(|e| Problem::database(&e))?;
    store::paused(&mut db).await.map_err(|e| Problem::database(&e))
}

fn shown(state: &State, name: &str, paused: &[String]) -> Value {
    let queue = state.queues.0.get(name);
    json!({ "name": name, "tier": queue.map(|q| q.tier.as_i16()), "paused": paused.iter().any(|p| p == name) })
}

/// `POST /queues/{name}/pause`: no node claims from it any more; what runs, runs on.
pub(super) async fn pause(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    state.operator.pause(&name, &caller.subject).await?;
    Ok(Json(json!({ "name": name, "paused": true })))
}

/// `POST /queues/{name}/resume`.
pub(super) async fn resume(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    state.operator.resume(&name, &caller.subject).await?;
    Ok(Json(json!({ "name": name, "paused": false })))
}

/// `POST /queues/{name}/clear` with `{"confirm": "NAME"}`: cancels all that waits and has no journal.
pub(super) async fn clear(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    admin(&caller)?;
    let mut fields = Fields::read(&headers, body, &["confirm"]).await?;
    if fields.take::<String>("confirm")?.as_deref() != Some(&*name) {
        return Err(Problem::field("/confirm", "must be the name of the queue"));
    }
    let done = state.operator.clear(&name, &caller.subject).await?;
    let body = json!({
        "name": name, "cleared": done.cleared, "kept": { "running": done.running, "journaled": done.journaled },
    });
    Ok((StatusCode::OK, Json(body)))
}
