use axum::{Json, extract::State as Shared};
use serde_json::{Value, json};

use super::{State, problem::Problem};
use crate::{auth::Caller, releases};

/// `GET /plugins`: what serves, and what was refused and why.
pub(super) async fn list(Shared(state): Shared<State>, _: Caller) -> Result<Json<Value>, Problem> {
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let plugins = releases::store::listing(&mut db).await.map_err(|e| Problem::database(&e))?;
    let refusals = releases::store::refusals(&mut db).await.map_err(|e| Problem::database(&e))?;
    let plugins: Vec<_> = plugins
        .into_iter()
        .map(|plugin| {
            json!({
                "name": plugin.plugin,
                "version": plugin.version,
                "digest": plugin.digest,
                "generation": plugin.generation,
                "jobTypes": plugin.job_types,
                "activatedAt": plugin.activated_at,
            })
        })
        .collect();
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
    Ok(Json(json!({ "plugins": plugins, "refusals": refusals })))
}
