use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    State,
    body::Fields,
    caller::{admin, reads},
    problem::Problem,
};
use crate::{auth::Caller, ids::JobId, journal::store::Filter, operate::Resolution};

const PAGE: i64 = 100;
const STATES: [&str; 4] = ["started", "deferred", "doubt", "ended"];
/// Longest word of a person, in bytes.
const MAX_EVIDENCE: usize = 2_000;

/// `GET /effects?state=doubt&job=…&provider=…&cursor=…`: of live jobs, newest first, and of the one that is named also
/// after its end; the caller's own tenant, an admin sees all.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let query: Vec<_> = url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()).collect();
    let mut filter = Filter { tenant: reads(&caller)?, ..Filter::default() };
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
            "provider" => filter.provider = Some(value),
            "job" => filter.job = Some(value.parse().map_err(|_| bad("job: is no id of a job".to_owned()))?),
            "cursor" => {
                let cursor = value
                    .split_once('.')
                    .and_then(|(job, seq)| Some((job.parse::<Uuid>().ok()?, seq.parse::<i32>().ok()?)));
                filter.before = Some(cursor.ok_or_else(|| bad("cursor: is none of ours".to_owned()))?);
            }
            other => return Err(bad(format!("{other}: there is no such parameter"))),
        }
    }
    let items = state.operator.effects(&filter, PAGE).await?;
    let full = i64::try_from(items.len()).is_ok_and(|n| n == PAGE);
    let next = items.last().filter(|_| full).map(|last| format!("{}.{}", last.job, last.seq));
    Ok(Json(json!({ "items": items, "nextCursor": next })))
}

/// `POST /effects/{job}/{seq}/resolve` with `{"outcome": "happened", "answer": {…}, "evidence": "…"}`, or `void`, or
/// `resend`: a person says what became of an effect in doubt.
pub(super) async fn resolve(
    Shared(state): Shared<State>,
    caller: Caller,
    Path((job, seq)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let job: JobId = job.parse().map_err(|_| Problem::not_found())?;
    let seq: u32 = seq.parse().map_err(|_| Problem::not_found())?;
    let mut fields = Fields::read(&headers, body, &["outcome", "answer", "evidence"]).await?;
    let outcome: Option<String> = fields.take("outcome")?;
    let answer: Option<Value> = fields.take("answer")?;
    if answer.as_ref().is_some_and(|answer| answer.to_string().contains("\\u0000")) {
        return Err(Problem::field("/answer", "holds a NUL"));
    }
    let resolution = match (outcome.as_deref(), answer) {
        (Some("happened"), Some(answer)) => Resolution::Happened { answer },
        (Some("happened"), None) => {
            return Err(Problem::field("/answer", "is missing: what the provider shows of it"));
        }
        (Some("void"), None) => Resolution::Void,
        (Some("resend"), None) => Resolution::Resend,
        (Some("void" | "resend"), Some(_)) => {
            return Err(Problem::field("/answer", "is only for what happened"));
        }
        _ => return Err(Problem::field("/outcome", "must be \"happened\", \"void\" or \"resend\"")),
    };
    let evidence: String = fields.take("evidence")?.unwrap_or_default();
    if evidence.trim().is_empty() || evidence.len() > MAX_EVIDENCE || evidence.contains('\0') {
        return Err(Problem::field("/evidence", format!("says how it is known; 1 to {MAX_EVIDENCE} bytes")));
    }
    let goes_on = state.operator.resolve(job, seq, resolution, &evidence, &caller.subject).await?;
    Ok(Json(json!({ "job": job, "seq": seq, "state": if goes_on { "ready" } else { "dead" } })))
}
