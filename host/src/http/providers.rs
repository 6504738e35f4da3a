use axum::{
    Json,
    body::Body,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{State, body::Fields, caller::admin, problem::Problem};
use crate::{
    auth::{Caller, is_tenant},
    effects,
};

/// `GET /providers`: all there are, and whose calls wait.
pub(super) async fn list(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    Ok(Json(json!({ "providers": effects::PROVIDERS, "pauses": state.operator.pauses().await? })))
}

/// `POST /providers/{name}/pause`, optionally `{"tenant": "…"}`.
pub(super) async fn pause(
    shared: Shared<State>,
    caller: Caller,
    path: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    change(shared, caller, path, headers, body, true).await
}

/// `POST /providers/{name}/resume`, optionally `{"tenant": "…"}`.
pub(super) async fn resume(
    shared: Shared<State>,
    caller: Caller,
    path: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    change(shared, caller, path, headers, body, false).await
}

async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
    paused: bool,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    if !effects::PROVIDERS.contains(&name.as_str()) {
        let message = format!("There is no provider \"{name}\"; there are {}.", effects::PROVIDERS.join(", "));
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", message));
    }
    let mut fields = Fields::read_optional(&headers, body, &["tenant"]).await?;
    let tenant: Option<String> = fields.take("tenant")?;
    if tenant.as_ref().is_some_and(|tenant| !is_tenant(tenant)) {
        return Err(Problem::field("/tenant", "must have 1 to 128 characters, none of them a control character"));
    }
    let changed = match paused {
        true => state.operator.pause_provider(&name, tenant.as_deref(), &caller.subject).await?,
        false => state.operator.resume_provider(&name, tenant.as_deref(), &caller.subject).await?,
    };
    Ok(Json(json!({ "provider": name, "tenant": tenant, "paused": paused, "changed": changed })))
}
