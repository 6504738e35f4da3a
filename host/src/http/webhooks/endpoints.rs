use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State as Shared},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DEFAULT_LIMIT, bad, cursor, id, limit, room};
use crate::{
    auth::{Caller, Role},
    http::{State, body::Fields, caller::acts_for, problem::Problem},
    ids::EndpointId,
    webhooks::{Change, NewEndpoint},
};

/// `POST /webhook-endpoints` with `{url, events?, description?, tenant?}`: 201, and the only answer that holds the secret.
pub(in crate::http) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (webhooks, _) = room(&state, &caller)?;
    let mut fields = Fields::read(&headers, body, &["url", "events", "description", "tenant"]).await?;
    let new = NewEndpoint {
        tenant: acts_for(&caller, fields.take("tenant")?)?,
        url: fields.take("url")?.ok_or_else(|| Problem::field("/url", "is missing"))?,
        events: fields.take("events")?.unwrap_or_default(),
        description: fields.take("description")?.unwrap_or_default(),
        by: caller.subject.clone(),
    };
    let (endpoint, secret) = webhooks.create(new).await?;
    let location = HeaderValue::try_from(format!("/webhook-endpoints/{}", endpoint.id));
    let mut shown = json!(endpoint);
    shown["secret"] = secret.into();
    let location = location.unwrap_or(HeaderValue::from_static("/webhook-endpoints"));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown)).into_response())
}

/// `GET /webhook-endpoints?tenant=&limit=&cursor=`: the caller's own tenant's; an admin sees all.
pub(in crate::http) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let (webhooks, tenant) = room(&state, &caller)?;
    let (mut tenant, mut most, mut after) = (tenant.map(str::to_owned), DEFAULT_LIMIT, None);
    for (name, value) in url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()) {
        match &*name {
            "tenant" if value.contains('\0') => return Err(bad("tenant", "holds a NUL character")),
            "tenant" if caller.role == Role::Admin => tenant = Some(value.into_owned()),
            "tenant" if tenant.as_deref() == Some(&*value) => {}
            "tenant" => {
                return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an admin may name another tenant."));
            }
            "limit" => most = limit(&value)?,
            "cursor" => {
                let id = Uuid::from_slice(&cursor(&value)?);
                after = Some(EndpointId(id.map_err(|_| bad("cursor", "is none that this API gave out"))?));
            }
            other => return Err(bad(other, "there is no such parameter")),
        }
    }
    // One more than asked for tells whether there is a next page.
    let mut endpoints = webhooks.list(tenant.as_deref(), after, most + 1).await?;
    let more = i64::try_from(endpoints.len()).is_ok_and(|n| n > most);
    endpoints.truncate(usize::try_from(most).unwrap_or(0));
    let next = endpoints.last().filter(|_| more).map(|endpoint| URL_SAFE_NO_PAD.encode(endpoint.id.0.as_bytes()));
    let mut page = json!({ "items": endpoints });
    if let Some(next) = next {
        page["nextCursor"] = next.into();
    }
    Ok(Json(page))
}

/// `GET /webhook-endpoints/{id}`.
pub(in crate::http) async fn get(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(endpoint): Path<String>,
) -> Result<Json<Value>, Problem> {
    let (webhooks, tenant) = room(&state, &caller)?;
    Ok(Json(json!(webhooks.get(id(&endpoint)?, tenant).await?)))
}

/// `PATCH /webhook-endpoints/{id}` with any of `{url, events, description, state}`.
pub(in crate::http) async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let (webhooks, tenant) = room(&state, &caller)?;
    let id = id(&endpoint)?;
    let mut fields = Fields::read(&headers, body, &["url", "events", "description", "state"]).await?;
    let enabled = match fields.take::<String>("state")?.as_deref() {
        None => None,
        Some("enabled") => Some(true),
        Some("disabled") => Some(false),
        Some(_) => return Err(Problem::field("/state", "must be \"enabled\" or \"disabled\"")),
    };
    let change = Change {
        url: fields.take("url")?,
        events: fields.take("events")?,
        description: fields.take("description")?,
        enabled,
    };
    Ok(Json(json!(webhooks.change(id, tenant, change, &caller.subject).await?)))
}

/// `DELETE /webhook-endpoints/{id}`: 204; what was on its way is not sent any more.
pub(in crate::http) async fn delete(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(endpoint): Path<String>,
) -> Result<StatusCode, Problem> {
    let (webhooks, tenant) = room(&state, &caller)?;
    webhooks.delete(id(&endpoint)?, tenant, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}
