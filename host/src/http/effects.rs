use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State as Shared},
    http::HeaderMap,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    State,
    body::Fields,
    caller::{admin, reads},
    problem::Problem,
    query::{Query, bad, page},
};
use crate::{auth::Caller, ids::JobId, journal::store::Filter, operate::Resolution};

const PAGE: i64 = 100;
const STATES: [&str; 4] = ["started", "deferred", "doubt", "ended"];
/// Longest word of a person, in bytes.
const MAX_EVIDENCE: usize = 2_000;

/// `GET /effects?state=doubt&job=…&provider=…&limit=&cursor=…`: of live jobs, newest first, and of the one that is named
/// also after its end; the caller's own tenant, an admin sees all.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let query = Query::read(query.as_deref(), &["state", "job", "provider", "limit", "cursor"])?;
    let job = match query.get("job") {
        Some(job) => Some(job.parse::<Uuid>().map_err(|_| bad("job", "is no id of a job"))?),
        None => None,
    };
    let before = |place: &str| {
        let (job, seq) = place.split_once('.')?;
        Some((job.parse::<Uuid>().ok()?, seq.parse::<i32>().ok()?))
    };
    let filter = Filter {
        tenant: reads(&caller)?,
        state: query.word("state", &STATES)?,
        provider: query.get("provider"),
        job,
        before: query.cursor_of("effects", before)?,
    };
    let limit = query.limit(PAGE)?;
    // One more than asked for tells whether there is a next page.
    let found = state.operator.effects(&filter, limit + 1).await?;
    Ok(Json(page("effects", found, limit, |last| format!("{}.{}", last.job, last.seq))))
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
