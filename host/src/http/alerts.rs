use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State as Shared},
    http::{HeaderMap, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    State,
    body::Fields,
    caller::{admin, reads},
    problem::Problem,
};
use crate::{
    alerts::{
        Raised, Severity,
        store::{self, Filter},
    },
    auth::Caller,
    config::LONGEST_SILENCE,
    ids::AlertId,
    operate::OperateError,
};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 200;
/// `open`: any but resolved.
const STATES: [&str; 4] = ["firing", "acknowledged", "resolved", "open"];

/// `GET /alerts?state=&severity=&rule=&kind=&limit=&cursor=`: newest first, the caller's own tenant's; an admin sees all.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let query: Vec<_> = url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()).collect();
    let tenant = reads(&caller)?;
    let mut filter = Filter { tenant, ..Filter::default() };
    let mut most = DEFAULT_LIMIT;
    for (name, value) in &query {
        let bad = |message: String| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid-query", message).with("parameter", name.as_ref())
        };
        if value.contains('\0') {
            return Err(bad(format!("{name}: holds a NUL")));
        }
        match name.as_ref() {
            "state" if STATES.contains(&value.as_ref()) => filter.state = Some(value),
            "state" => return Err(bad(format!("state: must be one of {}", STATES.join(", ")))),
            "severity" if Severity::ALL.iter().any(|known| known.as_str() == value) => filter.severity = Some(value),
            "severity" => return Err(bad("severity: must be one of info, warning, critical".to_owned())),
            "rule" => filter.rule = Some(value),
            "kind" => filter.kind = Some(value),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                most = limit.ok_or_else(|| bad("limit: must be a number from 1 to 200".to_owned()))?;
            }
            "cursor" => {
                let before = before(value).ok_or_else(|| bad("cursor: is none that this API gave out".to_owned()))?;
                filter.before = Some(before);
            }
            other => return Err(bad(format!("{other}: there is no such parameter"))),
        }
    }
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    // One more than asked for tells whether there is a next page.
    let mut items = store::list(&mut db, &filter, most + 1).await.map_err(|e| Problem::database(&e))?;
    let more = i64::try_from(items.len()).is_ok_and(|n| n > most);
    items.truncate(usize::try_from(most).unwrap_or(0));
    if tenant.is_some() {
        items.iter_mut().for_each(veil);
    }
    let next = items.last().filter(|_| more).map(place);
    let mut page = json!({ "items": items });
    if let Some(next) = next {
        page["nextCursor"] = next.into();
    }
    Ok(Json(page))
}

/// Microseconds, as Postgres has them, and the id.
fn place(last: &Raised) -> String {
    let mut bytes = last.first_at.timestamp_micros().to_be_bytes().to_vec();
    bytes.extend(last.id.0.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn before(cursor: &str) -> Option<(DateTime<Utc>, AlertId)> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (micros, id) = bytes.split_first_chunk::<8>()?;
    // None but a forged one is beyond what Postgres counts.
    let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros)).filter(|at| at.timestamp() >= 0)?;
    Some((at, AlertId(Uuid::from_slice(id).ok()?)))
}

/// `GET /alerts/{id}`: with all that became of it.
pub(super) async fn get(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let (id, tenant) = (known(&id)?, reads(&caller)?);
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let alert = store::get(&mut db, id, tenant).await.map_err(|e| Problem::database(&e))?;
    let mut alert = alert.ok_or(OperateError::NoAlert)?;
    let mut history = store::history(&mut db, id).await.map_err(|e| Problem::database(&e))?;
    if tenant.is_some() {
        veil(&mut alert);
        history.iter_mut().for_each(|past| past.by = veiled(&past.by).to_owned());
    }
    let mut shown = json!(alert);
    shown["history"] = json!(history);
    Ok(Json(shown))
}

/// A tenant is told that an operator did it; which one is for admins.
fn veil(alert: &mut Raised) {
    alert.changed_by = veiled(&alert.changed_by).to_owned();
    if let Some(by) = alert.detail.get_mut("by") {
        *by = OPERATOR.into();
    }
}

fn veiled(by: &str) -> &str {
    // A host says so of itself, and nobody else may be called so.
    if by == "usher" { by } else { OPERATOR }
}

const OPERATOR: &str = "operator";

/// `POST /alerts/{id}/ack`.
pub(super) async fn ack(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Raised>, Problem> {
    admin(&caller)?;
    let id = known(&id)?;
    Fields::read_optional(&headers, body, &[]).await?;
    Ok(Json(state.operator.acknowledge(id, &caller.subject).await?))
}

/// `POST /alerts/{id}/resolve`.
pub(super) async fn resolve(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Raised>, Problem> {
    admin(&caller)?;
    let id = known(&id)?;
    Fields::read_optional(&headers, body, &[]).await?;
    Ok(Json(state.operator.resolve_alert(id, &caller.subject).await?))
}

/// `POST /alerts/{id}/silence` with `{"for": "2h"}`; `"0s"` ends a silence.
pub(super) async fn silence(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Raised>, Problem> {
    admin(&caller)?;
    let id = known(&id)?;
    let mut fields = Fields::read(&headers, body, &["for"]).await?;
    let time = fields.take::<String>("for")?.ok_or_else(|| Problem::field("/for", "is missing"))?;
    let time = duration(&time).filter(|time| *time <= LONGEST_SILENCE);
    let time =
        time.ok_or_else(|| Problem::field("/for", "is a time such as \"2h\", at most 30 days; \"0s\" ends a silence"))?;
    Ok(Json(state.operator.silence(id, time, &caller.subject).await?))
}

fn duration(text: &str) -> Option<Duration> {
    let text = Value::from(text);
    serde_json::from_value::<humantime_serde::Serde<Duration>>(text).ok().map(humantime_serde::Serde::into_inner)
}

/// What is no id names nothing.
fn known(id: &str) -> Result<AlertId, Problem> {
    id.parse().map_err(|_| OperateError::NoAlert.into())
}
