use axum::{
    Json,
    body::Body,
    extract::State as Shared,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::{Value, json, value::RawValue};

use super::{
    admission::Admission,
    submit::{FIELDS, is_key, new_job},
};
use crate::{
    auth::Caller,
    http::{
        State,
        body::{self, Fields},
        caller::submits_many,
        problem::Problem,
    },
    submit::{Accepted, PreparedJob, SubmitError},
};

/// Most jobs of one request.
const MOST: usize = 1_000;
/// The longest body, in bytes.
pub(in crate::http) const MAX_BODY: usize = 8 * 1024 * 1024;
/// Findings in one answer.
const MAX_FINDINGS: usize = 20;

/// `POST /jobs/batch` with `{"jobs": [{…, "idempotencyKey"?}, …]}`: all are checked before anything is written, then
/// those of a tier are committed together. The answer names each in its order.
pub(in crate::http) async fn batch(
    Shared(state): Shared<State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut admission = Admission::of(&state, &caller);
    let answer = taken(state.clone(), caller, &headers, body, &mut admission).await;
    admission.on(&state, answer)
}

async fn taken(
    state: State,
    caller: Caller,
    headers: &HeaderMap,
    body: Body,
    admission: &mut Admission,
) -> Result<Json<Value>, Problem> {
    submits_many(&caller)?;
    let bytes = body::read(headers, body, MAX_BODY).await?;
    let submitter = state.submitter.clone();
    let rooms = state.clone();
    // Some milliseconds of parsing and checking, which must not hold up the other requests of this thread.
    let check = move || {
        let mut fields = Fields::parse(&bytes, &["jobs"])?;
        let jobs = fields.take::<Vec<Box<RawValue>>>("jobs")?.ok_or_else(|| Problem::field("/jobs", "is missing"))?;
        if jobs.is_empty() || jobs.len() > MOST {
            return Err(Problem::field("/jobs", format!("must hold 1 to {MOST} jobs")));
        }
        all(jobs.iter().map(|job| one(&state, &caller, job)))
    };
    let jobs = tokio::task::spawn_blocking(check).await.map_err(|_| Problem::internal())??;
    {
        let wanted: Vec<_> = jobs.iter().map(|job| (job.tenant(), job.job_type())).collect();
        admission.admit(&rooms, &wanted).await?;
    }
    let answers = submitter.submit_all(jobs).await;
    if answers.iter().all(|answer| matches!(answer, Err(SubmitError::Busy | SubmitError::Unavailable(_)))) {
        // Nothing is known to be written; there is at least one answer.
        let first = answers.into_iter().find_map(Result::err);
        return Err(first.map_or_else(Problem::internal, Problem::from));
    }
    Ok(Json(json!({ "jobs": answers.into_iter().map(shown).collect::<Vec<_>>() })))
}

/// A finding of the payload has its place there, all others theirs in the job.
enum Refused {
    Request(Problem),
    Payload(Problem),
    /// No mistake in the batch: the key of this service is not for it.
    Forbidden(Problem),
}

fn one(state: &State, caller: &Caller, job: &RawValue) -> Result<PreparedJob, Refused> {
    let request = Refused::Request;
    let known: Vec<_> = FIELDS.into_iter().chain(["idempotencyKey"]).collect();
    let mut fields = Fields::parse(job.get().as_bytes(), &known).map_err(request)?;
    let key = fields.take::<String>("idempotencyKey").map_err(request)?;
    if key.as_deref().is_some_and(|key| !is_key(key)) {
        let message = "must have 1 to 255 characters of visible ASCII";
        return Err(request(Problem::field("/idempotencyKey", message)));
    }
    let job = new_job(caller, &mut fields, key).map_err(|problem| match &caller.scope {
        Some(_) if problem.is_forbidden() => Refused::Forbidden(problem),
        _ => Refused::Request(problem),
    })?;
    state.submitter.prepare(job).map_err(|error| match error {
        SubmitError::Payload(_) => Refused::Payload(error.into()),
        error => Refused::Request(error.into()),
    })
}

/// All of them, or what is wrong with those that are not sound.
fn all(jobs: impl Iterator<Item = Result<PreparedJob, Refused>>) -> Result<Vec<PreparedJob>, Problem> {
    let mut sound = Vec::new();
    let mut findings = Vec::new();
    for (n, job) in jobs.enumerate() {
        let part = format!("/jobs/{n}");
        match job {
            Ok(job) => sound.push(job),
            Err(Refused::Forbidden(problem)) => return Err(problem.with("pointer", part)),
            Err(Refused::Request(problem)) => findings.extend(problem.findings(&part, "")),
            Err(Refused::Payload(problem)) => findings.extend(problem.findings(&part, "/payload")),
        }
        if findings.len() >= MAX_FINDINGS {
            break;
        }
    }
    if findings.is_empty() {
        return Ok(sound);
    }
    findings.truncate(MAX_FINDINGS);
    let detail = "Some of these jobs are not sound; nothing was written.";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-batch", detail).with("errors", findings))
}

fn shown(answer: Result<Accepted, SubmitError>) -> Value {
    match answer {
        Ok(Accepted::New(id)) => json!({ "id": id, "outcome": "created" }),
        Ok(Accepted::Replayed(id)) => json!({ "id": id, "outcome": "replayed" }),
        Ok(Accepted::Deduplicated(id)) => json!({ "id": id, "outcome": "deduplicated" }),
        Err(error) => json!({ "outcome": "failed", "problem": Problem::from(error).into_json() }),
    }
}
