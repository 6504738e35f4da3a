use axum::{
    Json,
    extract::{RawQuery, State as Shared},
    http::StatusCode,
};
use serde_json::{Value, json};

use super::{State, caller::reads, problem::Problem};
use crate::{alerts, auth::Caller};

const LIMIT: i64 = 200;
const STATES: [&str; 3] = ["open", "acknowledged", "resolved"];

/// `GET /alerts?state=open`: newest first, the caller's own tenant; an admin sees all.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let mut wanted = None;
    for (name, value) in url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()) {
        let bad = |message: String| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid-query", message).with("parameter", name.as_ref())
        };
        match (&*name, STATES.iter().find(|state| **state == value)) {
            ("state", Some(known)) => wanted = Some(*known),
            ("state", None) => return Err(bad(format!("state: must be one of {}", STATES.join(", ")))),
            (other, _) => return Err(bad(format!("{other}: there is no such parameter"))),
        }
    }
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let alerts = alerts::list(&mut db, reads(&caller)?, wanted, LIMIT).await.map_err(|e| Problem::database(&e))?;
    Ok(Json(json!({ "items": alerts })))
}
