use axum::{
    Json,
    extract::{RawQuery, State as Shared},
};
use serde_json::Value;

use super::{
    State,
    caller::admin,
    problem::Problem,
    query::{Query, page},
};
use crate::{
    audit::{self, Filter},
    auth::Caller,
};

const PAGE: i64 = 100;
const KNOWN: [&str; 8] = ["subject", "action", "target", "tenant", "since", "until", "limit", "cursor"];

/// `GET /audit?subject=&action=&target=&tenant=&since=&until=&limit=&cursor=`: what people did, newest first.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let query = Query::read(query.as_deref(), &KNOWN)?;
    let filter = Filter {
        subject: query.get("subject"),
        action: query.get("action"),
        target: query.get("target"),
        tenant: query.get("tenant"),
        since: query.time("since")?,
        until: query.time("until")?,
        before: query.cursor_of("audit", |place| place.parse().ok())?,
    };
    let limit = query.limit(PAGE)?;
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    // One more than asked for tells whether there is a next page.
    let found = audit::list(&mut db, &filter, limit + 1).await.map_err(|e| Problem::database(&e))?;
    Ok(Json(page("audit", found, limit, |last| last.id.to_string())))
}
