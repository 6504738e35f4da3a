use std::time::Duration;

use axum::{
    Extension, Json,
    body::Body,
    extract::State as Shared,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json, value::RawValue};

use super::{
    admission::Admission,
    resource,
    wait::{is_over, wait},
};
use crate::{
    auth::Caller,
    http::{
        State,
        body::Fields,
        caller::{acts_for, may_submit},
        prefer,
        pressure::Held,
        problem::Problem,
    },
    idempotency,
    ids::{JobId, Priority},
    queue,
    submit::{Accepted, MAX_PAYLOAD, NewJob, SubmitError},
};

/// Of one job in a request body.
pub(super) const FIELDS: [&str; 8] =
    ["type", "payload", "priority", "runAt", "expiresIn", "metadata", "tenant", "orderingKey"];
/// Bytes.
const MAX_METADATA: usize = 16 * 1024;
const MAX_EXPIRY: Duration = Duration::from_secs(30 * 24 * 3600);
const MAX_AHEAD: TimeDelta = TimeDelta::days(366);

/// `POST /jobs`: 202 for a new job, or one that the derived key found; 200 for a repeat under the caller's own key. With
/// `Prefer: wait=N` the answer comes when the job has ended, as 200 with its result, or as 202 when the time is over.
pub(in crate::http) async fn submit(
    Shared(state): Shared<State>,
    caller: Caller,
    headers: HeaderMap,
    held: Option<Extension<Held>>,
    body: Body,
) -> Response {
    let mut admission = Admission::of(&state, &caller);
    let answer = taken(&state, &caller, &headers, (body, held.as_deref()), &mut admission).await;
    admission.on(&state, answer)
}

async fn taken(
    state: &State,
    caller: &Caller,
    headers: &HeaderMap,
    (body, held): (Body, Option<&Held>),
    admission: &mut Admission,
) -> Result<Response, Problem> {
    let key = idempotency_key(headers)?;
    let mut fields = Fields::read(headers, body, &FIELDS).await?;
    let job = new_job(caller, &mut fields, key)?;
    admission.admit(state, &[(job.tenant.as_str(), job.job_type.as_str())]).await?;
    let mut shown = job.clone();
    let accepted = state.submitter.submit(job).await?;
    let time = prefer::wait(headers);
    if let Some(time) = time {
        // For up to a minute: what is long is in the database, and its room here is for others.
        (shown.payload, shown.metadata) = (String::new(), None);
        if let Some(held) = held {
            held.release();
        }
        if let Some(answer) = waited(state, accepted, &shown.tenant, time).await {
            return Ok(answer);
        }
    }
    match accepted {
        Accepted::New(id) => {
            let job = resource::of_new(state, id, shown);
            let body = if time.is_some() { First::Brief(job.in_brief()) } else { First::Job(Box::new(job)) };
            Ok((StatusCode::ACCEPTED, [(header::LOCATION, location(id))], Json(body)).into_response())
        }
        Accepted::Replayed(id) => {
            let replayed = (HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
            let body = first(state, id, &shown.tenant).await?;
            Ok((StatusCode::OK, [replayed, (header::LOCATION, location(id))], Json(body)).into_response())
        }
        Accepted::Deduplicated(id) => {
            let mut body = first(state, id, &shown.tenant).await?;
            match &mut body {
                First::Job(job) => job.deduplicated = Some(true),
                First::Brief(body) => body["deduplicated"] = true.into(),
            }
            Ok((StatusCode::ACCEPTED, [(header::LOCATION, location(id))], Json(body)).into_response())
        }
    }
}

/// The answer of a submit whose caller waits for the end. `None`: the job is not there to be looked at (the archive may have
/// forgotten the first of a key, or the database went away meanwhile); the submit was taken all the same.
async fn waited(state: &State, accepted: Accepted, tenant: &str, time: Duration) -> Option<Response> {
    let id = accepted.id();
    let job = wait(state, id, Some(tenant), time).await.ok().flatten()?;
    let status = if is_over(&job.state) { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut body = resource::Job::from(job);
    body.deduplicated = matches!(accepted, Accepted::Deduplicated(_)).then_some(true);
    let replayed = matches!(accepted, Accepted::Replayed(_))
        .then(|| (HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true")));
    let headers = [(header::LOCATION, location(id)), prefer::applied(time)].into_iter().chain(replayed);
    Some((status, AppendHeaders(headers), Json(body)).into_response())
}

/// A job as a request body describes it.
pub(super) fn new_job(caller: &Caller, fields: &mut Fields, key: Option<String>) -> Result<NewJob, Problem> {
    let job_type: String = fields.take("type")?.ok_or_else(|| Problem::field("/type", "is missing"))?;
    may_submit(caller, &job_type)?;
    let payload = fields.raw("payload").ok_or_else(|| Problem::field("/payload", "is missing"))?;
    if payload.get().len() > MAX_PAYLOAD {
        return Err(SubmitError::TooLarge { limit: MAX_PAYLOAD }.into());
    }
    let job = NewJob {
        job_type,
        payload: payload.get().to_owned(),
        priority: fields.take::<Priority>("priority")?,
        run_at: run_at(fields)?,
        expires_in: expires_in(fields)?,
        metadata: metadata(fields)?,
        tenant: acts_for(caller, fields.take("tenant")?)?,
        subject: caller.subject.clone(),
        key,
        ordering_key: ordering_key(fields)?,
    };
    contradictions(&job)?;
    Ok(job)
}

/// The job that holds a key, as far as it is still known.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum First {
    Job(Box<resource::Job>),
    Brief(Value),
}

/// The job that holds the key. The archive may have forgotten it; then the key itself knows how it ended.
async fn first(state: &State, id: JobId, tenant: &str) -> Result<First, Problem> {
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    if let Some(job) = queue::store::get(&mut db, id, Some(tenant)).await.map_err(|e| Problem::database(&e))? {
        return Ok(First::Job(Box::new(resource::Job::from(job))));
    }
    let outlived = idempotency::store::outlived(&mut db, tenant, id).await.map_err(|e| Problem::database(&e))?;
    let outlived = match outlived {
        Some(outlived) => Some(outlived),
        // Or the service before this one has done it.
        None => idempotency::imported::outlived(&mut db, id).await.map_err(|e| Problem::database(&e))?,
    };
    let outlived = outlived.ok_or_else(Problem::internal)?;
    let result = outlived.result.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let body =
        json!({ "id": id, "type": outlived.job_type, "tenant": tenant, "state": outlived.state, "result": result });
    Ok(First::Brief(body))
}

fn location(id: JobId) -> HeaderValue {
    // A uuid is made of characters that a header takes.
    HeaderValue::try_from(format!("/jobs/{id}")).unwrap_or(HeaderValue::from_static("/jobs"))
}

/// Bare, or quoted as the draft `Idempotency-Key` header field writes it (RFC 8941 string).
pub(in crate::http) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let bad = |message: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid-idempotency-key", message.to_owned());
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad("There is more than one Idempotency-Key."));
    }
    let text = value.to_str().map_err(|_| bad("The Idempotency-Key must be visible ASCII."))?.trim();
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if !is_key(key) {
        return Err(bad("The Idempotency-Key must have 1 to 255 characters of visible ASCII."));
    }
    Ok(Some(key.to_owned()))
}

pub(super) fn is_key(key: &str) -> bool {
    (1..=255).contains(&key.len()) && key.bytes().all(|b| (b' '..=b'~').contains(&b))
}

/// Like other names: 1 to 255 characters, no control characters.
fn ordering_key(fields: &mut Fields) -> Result<Option<String>, Problem> {
    let key = fields.take::<String>("orderingKey")?;
    let sound = |key: &String| (1..=255).contains(&key.chars().count()) && !key.chars().any(char::is_control);
    match key {
        Some(key) if !sound(&key) => {
            Err(Problem::field("/orderingKey", "must have 1 to 255 characters, none of them a control character"))
        }
        key => Ok(key),
    }
}

/// Options that say two things at once.
fn contradictions(job: &NewJob) -> Result<(), Problem> {
    if job.ordering_key.is_some() && job.run_at.is_some() {
        return Err(Problem::field("/runAt", "contradicts orderingKey: such a job runs when its turn comes"));
    }
    Ok(())
}

fn run_at(fields: &mut Fields) -> Result<Option<DateTime<Utc>>, Problem> {
    let at = fields.take::<DateTime<Utc>>("runAt")?;
    if at.is_some_and(|at| at > Utc::now() + MAX_AHEAD) {
        return Err(Problem::field("/runAt", "is more than a year ahead"));
    }
    Ok(at)
}

fn expires_in(fields: &mut Fields) -> Result<Option<Duration>, Problem> {
    let Some(text) = fields.take::<String>("expiresIn")? else { return Ok(None) };
    let bad =
        || Problem::field("/expiresIn", "must be a duration such as \"90s\" or \"2h\", more than 0 and at most 30d");
    let duration = humantime_serde::re::humantime::parse_duration(&text).map_err(|_| bad())?;
    if duration.is_zero() || duration > MAX_EXPIRY { Err(bad()) } else { Ok(Some(duration)) }
}

fn metadata(fields: &mut Fields) -> Result<Option<String>, Problem> {
    let Some(raw) = fields.raw("metadata").filter(|raw| raw.get() != "null") else { return Ok(None) };
    let text = RawValue::get(&raw);
    let bad = |message: &str| Problem::field("/metadata", message);
    if text.len() > MAX_METADATA {
        return Err(bad("may have at most 16 KiB"));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) if !text.contains("\\u0000") => Ok(Some(text.to_owned())),
        Ok(Value::Object(_)) => Err(bad("holds the character \\u0000")),
        Ok(_) => Err(bad("must be an object")),
        Err(_) => Err(bad("is nested too deep, or holds a number or text that JSON readers do not share")),
    }
}
