use axum::{
    Json,
    extract::{Path, RawQuery, State as Shared},
};
use serde_json::{Value, json};

use super::known;
use crate::{
    auth::{Caller, Role},
    http::{
        State,
        problem::Problem,
        query::{Query, page_by_name},
    },
    ids::Digest,
    operate::OperateError,
    releases::store::{self, Listed, Node},
};

/// `GET /plugins?limit=&cursor=`: what serves, and what was refused and why.
pub(in crate::http) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let plugins = store::listing(&mut db, None).await.map_err(|e| Problem::database(&e))?;
    let nodes = store::nodes(&mut db).await.map_err(|e| Problem::database(&e))?;
    let refusals = store::refusals(&mut db).await.map_err(|e| Problem::database(&e))?;
    let plugins = plugins.iter().map(|plugin| (plugin.plugin.clone(), shown(plugin, &nodes, &caller))).collect();
    let refusals: Vec<_> = refusals
        .into_iter()
        .map(|refusal| {
            json!({
                "source": refusal.source,
                "digest": refusal.digest,
                "plugin": refusal.plugin,
                "reason": refusal.reason,
                "detail": refusal.detail,
                "refusedAt": refusal.refused_at,
            })
        })
        .collect();
    let mut page = page_by_name(&query, "plugins", plugins)?;
    page["refusals"] = refusals.into();
    Ok(Json(page))
}

/// `GET /plugins/{name}`.
pub(in crate::http) async fn one(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let name = known(name)?;
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let plugins = store::listing(&mut db, Some(&name)).await.map_err(|e| Problem::database(&e))?;
    let nodes = store::nodes(&mut db).await.map_err(|e| Problem::database(&e))?;
    match plugins.first() {
        Some(plugin) => Ok(Json(shown(plugin, &nodes, &caller))),
        None => Err(OperateError::NoPlugin(name).into()),
    }
}

/// The operator's machines, and what is wrong with them, are for admins.
fn shown(plugin: &Listed, nodes: &[Node], caller: &Caller) -> Value {
    let waiting = plugin.waiting.as_ref();
    let ready = |digest: &Digest| nodes.iter().filter(|node| node.ready.contains(digest)).count();
    let mut value = json!({
        "name": plugin.plugin,
        "version": plugin.version,
        "digest": plugin.digest,
        "generation": plugin.generation,
        "jobTypes": plugin.job_types,
        "activatedAt": plugin.activated_at,
        "state": plugin.state,
        "ready": { "nodes": ready(&plugin.digest), "of": nodes.len() },
    });
    if let Some((version, digest, generation, since)) = waiting {
        value["next"] = json!({
            "version": version, "digest": digest, "generation": generation, "since": since,
            "ready": { "nodes": ready(digest), "of": nodes.len() },
        });
    }
    if caller.role == Role::Admin {
        let reason = |node: &Node, digest: Digest| node.unready.get(digest.to_string()).cloned();
        let node = |node: &Node| {
            json!({
                "id": node.id,
                "host": node.host,
                "ready": node.ready.contains(&plugin.digest),
                "reason": reason(node, plugin.digest),
                "readyForNext": waiting.map(|(_, next, ..)| node.ready.contains(next)),
                "nextReason": waiting.and_then(|(_, next, ..)| reason(node, *next)),
            })
        };
        value["nodes"] = nodes.iter().map(node).collect();
    }
    value
}
