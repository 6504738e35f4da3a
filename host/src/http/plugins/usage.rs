use axum::{
    Json,
    extract::{Path, RawQuery, State as Shared},
    http::StatusCode,
};
use serde_json::{Value, json};

use super::known;
use crate::{
    auth::Caller,
    http::{
        State,
        caller::{admin, reads},
        problem::Problem,
    },
    releases::store,
};

/// As far as usage is kept.
const MOST_DAYS: i32 = 92;

/// `GET /plugins/{name}/usage?days=7`: what it used, by day (UTC); the caller's own tenant, all for an admin, who may say
/// `tenant`.
pub(in crate::http) async fn usage(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let name = known(name)?;
    let mut tenant = reads(&caller)?.map(str::to_owned);
    let mut days = 7;
    for (parameter, value) in url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()) {
        let bad = |message: String| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid-query", format!("{parameter}: {message}"))
                .with("parameter", parameter.as_ref())
        };
        match parameter.as_ref() {
            "days" => {
                days = value
                    .parse::<i32>()
                    .ok()
                    .filter(|days| (1..=MOST_DAYS).contains(days))
                    .ok_or_else(|| bad(format!("1 to {MOST_DAYS}")))?;
            }
            "tenant" => {
                admin(&caller)?;
                if value.is_empty() || value.len() > 128 || value.contains('\0') {
                    return Err(bad("has 1 to 128 bytes".to_owned()));
                }
                tenant = Some(value.into_owned());
            }
            _ => return Err(bad("there is no such parameter".to_owned())),
        }
    }
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let items = store::usage(&mut db, &name, tenant.as_deref(), days).await.map_err(|e| Problem::database(&e))?;
    Ok(Json(json!({ "name": name, "tenant": tenant, "days": items })))
}
