use axum::{
    Json,
    extract::{Path, RawQuery, State as Shared},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DEFAULT_LIMIT, bad, cursor, id, limit, room};
use crate::{
    auth::Caller,
    http::{State, problem::Problem},
    ids::DeliveryId,
    webhooks::{Delivery, DeliveryState, Page},
};

/// `GET /webhook-endpoints/{id}/deliveries?state=&limit=&cursor=`: newest first.
pub(in crate::http) async fn deliveries(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(endpoint): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let (webhooks, tenant) = room(&state, &caller)?;
    let mut page = page(query.as_deref().unwrap_or_default())?;
    let most = page.limit;
    // One more than asked for tells whether there is a next page.
    page.limit += 1;
    let mut found = webhooks.deliveries(id(&endpoint)?, tenant, &page).await?;
    let more = i64::try_from(found.len()).is_ok_and(|n| n > most);
    found.truncate(usize::try_from(most).unwrap_or(0));
    let next = found.last().filter(|_| more).map(place);
    let mut page = json!({ "items": found });
    if let Some(next) = next {
        page["nextCursor"] = next.into();
    }
    Ok(Json(page))
}

fn page(query: &str) -> Result<Page, Problem> {
    let mut page = Page { state: None, before: None, limit: DEFAULT_LIMIT };
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "state" => {
                let state = DeliveryState::ALL.into_iter().find(|state| state.as_str() == value);
                page.state = Some(state.ok_or_else(|| bad("state", "must be one of pending, delivered, failed"))?);
            }
            "limit" => page.limit = limit(&value)?,
            "cursor" => {
                let before = before(&cursor(&value)?);
                page.before = Some(before.ok_or_else(|| bad("cursor", "is none that this API gave out"))?);
            }
            other => return Err(bad(other, "there is no such parameter")),
        }
    }
    Ok(page)
}

/// Microseconds, as Postgres has them, and the id.
fn place(last: &Delivery) -> String {
    let mut bytes = last.created_at.timestamp_micros().to_be_bytes().to_vec();
    bytes.extend(last.id.0.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn before(bytes: &[u8]) -> Option<(DateTime<Utc>, DeliveryId)> {
    let (micros, id) = bytes.split_first_chunk::<8>()?;
    // None but a forged one is beyond what Postgres counts.
    let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros)).filter(|at| at.timestamp() >= 0)?;
    Some((at, DeliveryId(Uuid::from_slice(id).ok()?)))
}
