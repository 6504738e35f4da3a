use axum::{
    Json,
    extract::{RawQuery, State as Shared},
    http::StatusCode,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::resource::Job;
use crate::{
    auth::{Caller, Role},
    http::{State, caller::reads, problem::Problem},
    ids::JobId,
    queue::{self, ListFilter},
};

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;
const STATES: [&str; 7] = ["scheduled", "blocked", "ready", "running", "completed", "cancelled", "dead"];

/// `GET /jobs?state=&type=&queue=&tenant=&limit=&cursor=`: newest first, the caller's own tenant.
pub(in crate::http) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let filter = filter(&caller, query.as_deref().unwrap_or_default())?;
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let (jobs, more) = queue::store::list(&mut db, &filter).await.map_err(|e| Problem::database(&e))?;
    drop(db);
    let next = jobs.last().filter(|_| more).map(|job| URL_SAFE_NO_PAD.encode(job.id.0.as_bytes()));
    let items: Vec<_> = jobs.into_iter().map(Job::from).collect();
    let mut page = json!({ "items": items });
    if let Some(next) = next {
        page["nextCursor"] = next.into();
    }
    Ok(Json(page))
}

fn filter(caller: &Caller, query: &str) -> Result<ListFilter, Problem> {
    let bad = |name: &str, message: &str| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid-query", format!("{name}: {message}")).with("parameter", name)
    };
    let mut filter =
        ListFilter { tenant: reads(caller)?.map(str::to_owned), limit: DEFAULT_LIMIT, ..ListFilter::default() };
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if value.contains('\0') {
            return Err(bad(&name, "holds a NUL character"));
        }
        match &*name {
            "state" if STATES.contains(&&*value) => filter.state = Some(value.into_owned()),
            "state" => return Err(bad("state", &format!("must be one of {}", STATES.join(", ")))),
            "type" => filter.job_type = Some(value.into_owned()),
            "queue" => filter.queue = Some(value.into_owned()),
            "tenant" if caller.role == Role::Admin => filter.tenant = Some(value.into_owned()),
            "tenant" if filter.tenant.as_deref() == Some(&*value) => {}
            "tenant" => {
                return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an admin may name another tenant."));
            }
            "limit" => {
                filter.limit = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                    .ok_or_else(|| bad("limit", "must be a number from 1 to 200"))?;
            }
            "cursor" => {
                let id = URL_SAFE_NO_PAD.decode(value.as_bytes()).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
                filter.before = Some(JobId(id.ok_or_else(|| bad("cursor", "is none that this API gave out"))?));
            }
            other => return Err(bad(other, "there is no such parameter")),
        }
    }
    Ok(filter)
}
