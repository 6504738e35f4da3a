use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Map, Value, json};

use super::{
    State,
    body::Fields,
    caller::admin,
    planted::{Hole, is_planted},
    problem::Problem,
    query::{Query, page_by_name},
};
use crate::{
    auth::{Caller, Role},
    queue::store::{self, Count},
};

/// `GET /queues?limit=&cursor=`: as this host has them, which are paused, and, for admins, how many jobs are in each state.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let seen = look(&state, &caller).await?;
    let queues = state.queues.0.keys().map(|name| (name.clone(), shown(&state, name, &seen))).collect();
    Ok(Json(page_by_name(&query, "queues", queues)?))
}

/// `GET /queues/{name}`.
pub(super) async fn one(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    if !state.queues.0.contains_key(&name) {
        if is_planted(Hole::ServerError) {
            return Err(Problem::internal());
        }
        return Err(crate::operate::OperateError::NoQueue(name).into());
    }
    Ok(Json(shown(&state, &name, &look(&state, &caller).await?)))
}

struct Seen {
    paused: Vec<String>,
    /// For admins: they are of all tenants.
    counts: Option<Vec<Count>>,
}

async fn look(state: &State, caller: &Caller) -> Result<Seen, Problem> {
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let paused = store::paused(&mut db).await.map_err(|e| Problem::database(&e))?;
    let counts = match caller.role {
        Role::Admin => Some(store::counts(&mut db).await.map_err(|e| Problem::database(&e))?),
        Role::VenueAdmin | Role::User | Role::Service => None,
    };
    Ok(Seen { paused, counts })
}

fn shown(state: &State, name: &str, seen: &Seen) -> Value {
    let queue = state.queues.0.get(name);
    let paused = seen.paused.iter().any(|p| p == name);
    let mut shown = json!({ "name": name, "tier": queue.map(|q| q.tier.as_i16()), "paused": paused });
    if let Some(counts) = &seen.counts {
        let (live, ended): (Vec<_>, Vec<_>) =
            counts.iter().filter(|count| count.queue == name).partition(|count| count.sampled_at.is_some());
        let by_state =
            |counts: &[&Count]| counts.iter().map(|c| (c.state.clone(), c.count.into())).collect::<Map<_, _>>();
        let estimated: Vec<_> = live.iter().filter(|count| count.estimated).map(|count| &count.state).collect();
        shown["counts"] = by_state(&live).into();
        shown["estimated"] = json!(estimated);
        shown["sampledAt"] = json!(live.iter().filter_map(|count| count.sampled_at).max());
        shown["today"] = by_state(&ended).into();
    }
    shown
}

/// `POST /queues/{name}/pause`: no node claims from it any more; what runs, runs on.
pub(super) async fn pause(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    if !is_planted(Hole::Role) {
        admin(&caller)?;
    }
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
