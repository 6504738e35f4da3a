use std::collections::BTreeMap;

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
    submit::{Accepted, PreparedJob, SubmitError, Undone},
};

/// Most jobs of one request.
const MOST: usize = 1_000;
/// The longest body, in bytes.
pub(in crate::http) const MAX_BODY: usize = 4 * 1024 * 1024;
/// Findings in one answer beyond the first of each job.
const MAX_FURTHER: usize = 20;

/// `POST /jobs/batch` with `{"jobs": [{…, "idempotencyKey"?}, …], "atomic"?}`: each job is taken or refused by itself, and
/// those of a tier are committed together; or, as `atomic`, all are taken in one commit, or none. The answer names each in its
/// order.
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
    let rooms = state.clone();
    // Some milliseconds of parsing and checking, which must not hold up the other requests of this thread.
    let check = move || {
        let mut fields = Fields::parse(&bytes, &["jobs", "atomic"])?;
        let is_atomic = fields.take::<bool>("atomic")?.unwrap_or(false);
        let jobs = fields.take::<Vec<Box<RawValue>>>("jobs")?.ok_or_else(|| Problem::field("/jobs", "is missing"))?;
        if jobs.is_empty() || jobs.len() > MOST {
            return Err(Problem::field("/jobs", format!("must hold 1 to {MOST} jobs")));
        }
        Ok((is_atomic, Checked::of(&state, &caller, &jobs)?))
    };
    let (is_atomic, checked) = tokio::task::spawn_blocking(check).await.map_err(|_| Problem::internal())??;
    let Checked { sound, places, refused, mut further } = checked;
    if is_atomic && !refused.is_empty() {
        return Err(none(&refused.into_values().collect::<Vec<_>>()));
    }
    if !sound.is_empty() {
        let wanted: Vec<_> = sound.iter().map(|job| (job.tenant(), job.job_type())).collect();
        admission.admit(&rooms, &wanted).await?;
    }
    if is_atomic {
        return match rooms.submitter.submit_atomic(sound).await {
            Ok(accepted) => Ok(listed(accepted.into_iter().map(Ok))),
            Err(Undone::Refused(jobs)) => {
                let problems: Vec<_> = jobs.into_iter().map(|(n, error)| of_job(error, n, &mut further)).collect();
                Err(none(&problems))
            }
            Err(Undone::Failed(error)) => Err(error.into()),
        };
    }
    let mut said: Said = refused.into_iter().map(|(n, problem)| (n, Err(problem))).collect();
    for (n, answer) in places.into_iter().zip(rooms.submitter.submit_all(sound).await) {
        said.insert(n, answer.map_err(|error| of_job(error, n, &mut further)));
    }
    told(said)
}

/// What became of each job, by its place.
type Said = BTreeMap<usize, Result<Accepted, Problem>>;

/// The jobs of a request before anything is written.
struct Checked {
    sound: Vec<PreparedJob>,
    /// Of the sound ones.
    places: Vec<usize>,
    refused: BTreeMap<usize, Problem>,
    /// How many findings the answer may still have beyond the first of each job.
    further: usize,
}

impl Checked {
    /// An `Err` is no mistake in a job: the key of this service is not for it, and whoever uses it so gets nothing written.
    fn of(state: &State, caller: &Caller, jobs: &[Box<RawValue>]) -> Result<Self, Problem> {
        let (sound, places) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
        let mut all = Self { sound, places, refused: BTreeMap::new(), further: MAX_FURTHER };
        for (n, job) in jobs.iter().enumerate() {
            match one(state, caller, job) {
                Ok(job) => {
                    all.sound.push(job);
                    all.places.push(n);
                }
                Err(Refused::Request(problem)) if caller.scope.is_some() && problem.is_forbidden() => {
                    return Err(problem.with("pointer", format!("/jobs/{n}")));
                }
                Err(Refused::Request(problem)) => {
                    all.refused.insert(n, placed(problem, n, "", &mut all.further));
                }
                Err(Refused::Submit(error)) => {
                    all.refused.insert(n, of_job(error, n, &mut all.further));
                }
            }
        }
        Ok(all)
    }
}

enum Refused {
    /// By what the request says of the job.
    Request(Problem),
    Submit(SubmitError),
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
    let job = new_job(caller, &mut fields, key).map_err(request)?;
    state.submitter.prepare(job).map_err(Refused::Submit)
}

/// What job `n` hears.
fn of_job(error: SubmitError, n: usize, further: &mut usize) -> Problem {
    let within = match &error {
        SubmitError::Payload(_) | SubmitError::TooLarge { .. } => "/payload",
        SubmitError::Retiring { .. } => "/type",
        SubmitError::KeyReused { .. } => "/idempotencyKey",
        SubmitError::UnknownType { .. } | SubmitError::Field { .. } => "",
        // The job is not to blame.
        SubmitError::Busy | SubmitError::Unavailable(_) => return error.into(),
    };
    let is_payload = matches!(error, SubmitError::Payload(_));
    let problem = placed(error.into(), n, within, further);
    if is_payload { problem.saying("The payload is not one of this job type.") } else { problem }
}

/// Its findings with their places in the whole body.
fn placed(problem: Problem, n: usize, within: &str, further: &mut usize) -> Problem {
    let mut findings = problem.findings(&format!("/jobs/{n}"), within);
    findings.truncate(1 + *further);
    *further -= findings.len().saturating_sub(1);
    problem.with("errors", findings)
}

/// The answer. A 200 says that some of the jobs are there.
fn told(said: Said) -> Result<Json<Value>, Problem> {
    if said.values().any(Result::is_ok) {
        return Ok(listed(said.into_values()));
    }
    let mut problems: Vec<_> = said.into_values().filter_map(Result::err).collect();
    // What may do better later comes first: whoever repeats the request hears of the others then.
    if let Some(later) = problems.iter().position(|problem| !problem.status().is_client_error()) {
        return Err(problems.swap_remove(later));
    }
    let whole = none(&problems);
    Err(whole.with("jobs", problems.into_iter().map(|problem| shown(Err(problem))).collect::<Vec<_>>()))
}

/// Why nothing was written.
fn none(problems: &[Problem]) -> Problem {
    let findings: Vec<_> = problems.iter().flat_map(|problem| problem.findings("", "")).collect();
    let detail = "Jobs of this batch are refused; nothing was written.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-batch", detail).with("errors", findings)
}

fn listed(said: impl Iterator<Item = Result<Accepted, Problem>>) -> Json<Value> {
    Json(json!({ "jobs": said.map(shown).collect::<Vec<_>>() }))
}

/// `status` is what `POST /jobs` would have said.
fn shown(said: Result<Accepted, Problem>) -> Value {
    let (id, outcome, status) = match said {
        Ok(Accepted::New(id)) => (id, "created", StatusCode::ACCEPTED),
        Ok(Accepted::Replayed(id)) => (id, "replayed", StatusCode::OK),
        Ok(Accepted::Deduplicated(id)) => (id, "deduplicated", StatusCode::ACCEPTED),
        Err(problem) => {
            let status = problem.status().as_u16();
            return json!({ "outcome": "failed", "status": status, "problem": problem.into_json() });
        }
    };
    json!({ "id": id, "outcome": outcome, "status": status.as_u16() })
}
