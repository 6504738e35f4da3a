//! `GET /events` and `GET /jobs/{id}/events`: what happens to jobs, as server-sent events.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    extract::{Path, RawQuery, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::stream;
use serde_json::Value;
use tokio::time::Instant;

use super::{State, caller::reads, problem::Problem};
use crate::{
    auth::{Caller, Role},
    ids::JobId,
    outbox::{Event, Filter, FollowError, Mark, Who},
    queue,
};

const STATES: [&str; 7] = ["scheduled", "blocked", "ready", "running", "completed", "cancelled", "dead"];
/// A stream whose token does not say when it ends, or says a later time.
const LONGEST: Duration = Duration::from_secs(3600);

/// `GET /events?type=&state=&tenant=`: of the caller's own tenant; an admin sees all, or the one that is named.
pub(super) async fn all(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = filter(&caller, query.as_deref().unwrap_or_default(), true)?;
    follow(&state, &caller, &headers, filter, None).await
}

/// `GET /jobs/{id}/events?state=`: another tenant's job is not there. The first event says how things are.
pub(super) async fn of_job(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = reads(&caller)?;
    let id: JobId = id.parse().map_err(|_| Problem::not_found())?;
    let filter = filter(&caller, query.as_deref().unwrap_or_default(), false)?;
    look(&state, id, tenant).await?;
    follow(&state, &caller, &headers, Filter { job: Some(id), ..filter }, Some(id)).await
}

async fn follow(
    state: &State,
    caller: &Caller,
    headers: &HeaderMap,
    filter: Filter,
    job: Option<JobId>,
) -> Result<Response, Problem> {
    let last = last_seen(headers)?;
    let who = Who { tenant: caller.tenant.clone(), subject: caller.subject.clone() };
    let tenant = filter.tenant.clone();
    let mut stream = state.events.follow(filter, who, last, Instant::now() + lasts(headers)).await?;
    if let Some(job) = job {
        // After the stream has begun, so that nothing falls between the two.
        stream.say_first(look(state, job, tenant.as_deref()).await?.snapshot());
    }
    let frames = stream::unfold(stream, |mut stream| async move {
        let frame = stream.next().await?;
        Some((Ok::<_, Infallible>(frame), stream))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // What stands in between must hand each event on at once.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

/// How a job is at this moment.
async fn look(state: &State, id: JobId, tenant: Option<&str>) -> Result<Event, Problem> {
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let job = queue::store::get(&mut db, id, tenant).await.map_err(|e| Problem::database(&e))?;
    let job = job.ok_or_else(Problem::not_found)?;
    Ok(Event {
        job: job.id,
        tenant: job.tenant,
        job_type: job.job_type,
        state: job.state,
        reason: job.reason,
        at: job.finished_at.unwrap_or_else(chrono::Utc::now),
    })
}

fn filter(caller: &Caller, query: &str, of_many: bool) -> Result<Filter, Problem> {
    let mut filter = Filter { tenant: reads(caller)?.map(str::to_owned), ..Filter::default() };
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if value.contains('\0') {
            return Err(bad(&name, "holds a NUL character"));
        }
        match &*name {
            "state" if STATES.contains(&&*value) => filter.state = Some(value.into_owned()),
            "state" => return Err(bad("state", &format!("must be one of {}", STATES.join(", ")))),
            "type" if of_many => filter.job_type = Some(value.into_owned()),
            "tenant" if of_many && caller.role == Role::Admin => filter.tenant = Some(value.into_owned()),
            "tenant" if of_many && filter.tenant.as_deref() == Some(&*value) => {}
            "tenant" if of_many => {
                return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an admin may name another tenant."));
            }
            other => return Err(bad(other, "there is no such parameter")),
        }
    }
    Ok(filter)
}

fn bad(name: &str, message: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-query", format!("{name}: {message}")).with("parameter", name)
}

/// `Last-Event-ID`; an empty one is none, as browsers mean it.
fn last_seen(headers: &HeaderMap) -> Result<Option<Mark>, Problem> {
    let bad = || {
        let detail = "The Last-Event-ID is none that this API gave out.";
        Problem::new(StatusCode::BAD_REQUEST, "invalid-event-id", detail)
    };
    let mut values = headers.get_all("last-event-id").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| bad())?;
    if values.next().is_some() {
        return Err(bad());
    }
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| bad()) }
}

/// How long the caller may listen: until its token expires. The token was verified with this request, so that what it says
/// of itself can be read.
fn lasts(headers: &HeaderMap) -> Duration {
    let claims = || {
        let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?.1.trim();
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice::<Value>(&claims).ok()?["exp"].as_f64()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match claims() {
        // A token is still taken for a minute beyond its time: such a stream lasts a second.
        Some(exp) => Duration::try_from_secs_f64((exp - now.as_secs_f64()).max(1.0)).unwrap_or(LONGEST).min(LONGEST),
        None => LONGEST,
    }
}

impl From<FollowError> for Problem {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Off => Self::new(
                StatusCode::NOT_FOUND,
                "events-off",
                "Event streams are off on this host: its operator has set events.enabled = false.",
            ),
            FollowError::Full => Self::busy("This host has as many event streams as it may; come again, or elsewhere."),
            FollowError::Stopping => Self::busy("This host is stopping; come again elsewhere."),
            error @ FollowError::TooMany { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-streams", format!("Not followed: {error}."))
                    .with_header(header::RETRY_AFTER, "5")
            }
            FollowError::Database(error) => Self::database(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn an_id_that_nobody_gave_out_is_refused() {
        assert!(last_seen(&HeaderMap::new()).expect("none").is_none());
        assert!(last_seen(&with("last-event-id", &[""])).expect("none").is_none());
        assert!(last_seen(&with("last-event-id", &["1-2-3-4-5"])).expect("one").is_some());
        for values in [&["x"][..], &["1-2-3-4"], &["1-2-3-4-5", "1-2-3-4-5"]] {
            assert!(last_seen(&with("last-event-id", values)).is_err(), "{values:?}");
        }
    }

    #[test]
    fn a_stream_lasts_as_long_as_its_token_and_an_hour_at_most() {
        let token = |claims: &str| format!("Bearer x.{}.y", URL_SAFE_NO_PAD.encode(claims));
        let of = |text: &str| lasts(&with("authorization", &[text]));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after").as_secs();
        let soon = of(&token(&format!("{{\"exp\":{}}}", now + 100)));
        assert!(soon > Duration::from_secs(90) && soon <= Duration::from_secs(100), "{soon:?}");
        assert_eq!(of(&token(&format!("{{\"exp\":{}}}", now - 30))), Duration::from_secs(1));
        for text in ["{}", "{\"exp\":\"x\"}", "nonsense", "{\"exp\":1e300}"] {
            assert_eq!(of(&token(text)), LONGEST, "{text}");
        }
        assert_eq!(lasts(&HeaderMap::new()), LONGEST);
    }
}
