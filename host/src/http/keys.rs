//! `/keys`: those with which services sign. For admins.

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

use super::{State, body::Fields, caller::admin, problem::Problem};
use crate::{
    auth::{Caller, is_tenant, service::NewServiceKey},
    ids::KeyId,
    operate::OperateError,
};

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;
/// Tenants or job types that one key names.
const MAX_NAMED: usize = 100;
const FIELDS: [&str; 4] = ["name", "role", "tenants", "jobTypes"];

/// `POST /keys` with `{name, role?, tenants, jobTypes}`; `null`: all. 201, and the only answer that holds the secret.
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    admin(&caller)?;
    needs_host_key(&state)?;
    let mut fields = Fields::read(&headers, body, &FIELDS).await?;
    let name: String = fields.take("name")?.ok_or_else(|| Problem::field("/name", "is missing"))?;
    if !is_tenant(&name) {
        return Err(Problem::field("/name", "must have 1 to 128 characters, none of them a control character"));
    }
    let role = match fields.take::<String>("role")?.as_deref() {
        None | Some("service") => "service",
        Some("venue_admin") => "venue_admin",
        Some("admin") => "admin",
        Some(_) => return Err(Problem::field("/role", "must be \"service\", \"venue_admin\" or \"admin\"")),
    };
    let (tenants, job_types) = (named(&mut fields, "tenants")?, named(&mut fields, "jobTypes")?);
    // A key for everything is not made by leaving something out.
    let said = |pointer: &str, named: Option<Option<Vec<String>>>| {
        named.ok_or_else(|| Problem::field(pointer, "is missing; null: all"))
    };
    let (tenants, job_types) = match role {
        "service" => (said("/tenants", tenants)?, said("/jobTypes", job_types)?),
        _ if job_types.as_ref().is_some_and(Option::is_some) => {
            return Err(Problem::field("/jobTypes", "goes with the role \"service\" only"));
        }
        "venue_admin" => (said("/tenants", tenants)?, None),
        _ if tenants.as_ref().is_some_and(Option::is_some) => {
            return Err(Problem::field("/tenants", "does not go with an admin's key"));
        }
        _ => (None, None),
    };
    let new = NewServiceKey { name, role, tenants, job_types };
    let key = state.operator.create_key(&state.services, &new, &caller.subject).await?;
    let location = HeaderValue::try_from(format!("/keys/{}", key.id)).unwrap_or(HeaderValue::from_static("/keys"));
    let mut shown = json!(key);
    shown["secret"] = secret(&state, key.id, key.generation)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown)).into_response())
}

/// `GET /keys?limit=&cursor=`: also the revoked ones.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let (mut most, mut after) = (DEFAULT_LIMIT, None);
    for (name, value) in url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()) {
        let bad = |message: &str| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid-query", format!("{name}: {message}"))
                .with("parameter", name.as_ref())
        };
        match &*name {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                most = limit.ok_or_else(|| bad("must be a number from 1 to 200"))?;
            }
            "cursor" => {
                let id = URL_SAFE_NO_PAD.decode(value.as_bytes()).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
                after = Some(KeyId(id.ok_or_else(|| bad("is none that this API gave out"))?));
            }
            _ => return Err(bad("there is no such parameter")),
        }
    }
    // One more than asked for tells whether there is a next page.
    let mut keys = state.operator.keys(after, most + 1).await?;
    let more = i64::try_from(keys.len()).is_ok_and(|n| n > most);
    keys.truncate(usize::try_from(most).unwrap_or(0));
    let next = keys.last().filter(|_| more).map(|key| URL_SAFE_NO_PAD.encode(key.id.0.as_bytes()));
    let mut page = json!({ "items": keys });
    if let Some(next) = next {
        page["nextCursor"] = next.into();
    }
    Ok(Json(page))
}

/// `GET /keys/{id}`.
pub(super) async fn get(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    Ok(Json(json!(state.operator.key(id(&key)?).await?)))
}

/// `POST /keys/{id}/rotate`: a new secret, which only this answer holds. The one before is good until `previousUntil`.
pub(super) async fn rotate(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    needs_host_key(&state)?;
    let id = id(&key)?;
    let rotated = state.operator.rotate_key(&state.services, id, &caller.subject).await?;
    let secret = secret(&state, id, rotated.generation)?;
    Ok(Json(json!({ "id": id, "secret": secret, "previousUntil": rotated.previous_until })))
}

/// `DELETE /keys/{id}`: 204; nothing that is signed with it is taken any more.
pub(super) async fn revoke(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    admin(&caller)?;
    state.operator.revoke_key(&state.services, id(&key)?, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no id names nothing.
fn id(text: &str) -> Result<KeyId, Problem> {
    text.parse().map_err(|_| OperateError::NoKey.into())
}

fn needs_host_key(state: &State) -> Result<(), Problem> {
    if state.services.is_on() {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "service-keys-off",
        "Service keys are off on this host: its operator has set no auth.services.key.",
    ))
}

fn secret(state: &State, id: KeyId, generation: i32) -> Result<Value, Problem> {
    let secret = state.services.secret(id, generation).ok_or_else(Problem::internal)?;
    Ok(secret.reveal().into())
}

/// A list of names, or `Some(None)` for `null`. `None`: the field is not there.
fn named(fields: &mut Fields, field: &str) -> Result<Option<Option<Vec<String>>>, Problem> {
    let pointer = format!("/{field}");
    let Some(raw) = fields.raw(field) else { return Ok(None) };
    let names: Option<Vec<String>> = serde_json::from_str(raw.get())
        .map_err(|_| Problem::field(&pointer, "must be a list of names, or null for all"))?;
    let Some(names) = names else { return Ok(Some(None)) };
    if names.is_empty() || names.len() > MAX_NAMED {
        return Err(Problem::field(&pointer, format!("must hold 1 to {MAX_NAMED} names, or be null for all")));
    }
    match names.iter().position(|name| !is_tenant(name)) {
        Some(n) => {
            let message = "must have 1 to 128 characters, none of them a control character";
            Err(Problem::field(&format!("{pointer}/{n}"), message))
        }
        None => Ok(Some(Some(names))),
    }
}
