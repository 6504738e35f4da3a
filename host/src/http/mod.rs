//! The door: HTTP in JSON, errors as RFC 9457 problems.
//!
//! Owns: routes, who may use them, the shape of requests and answers.
//! Refuses: what it cannot read, with a place; what the caller may not see, as if it were not there.
//! Invariant: a handler that takes a `Caller` runs only for an authenticated one; a 5xx tells nothing of its cause.
//! Tables: none.

mod alerts;
mod audit;
mod body;
mod cache;
mod caller;
mod complete;
mod effects;
mod events;
pub mod health;
mod inbound;
mod jobs;
mod keys;
mod limits;
mod linger;
pub mod metrics;
pub mod openapi;
#[cfg(any(test, feature = "fuzzing"))]
pub mod parsers;
mod planted;
mod plugins;
mod prefer;
pub mod pressure;
mod problem;
mod providers;
mod query;
mod queues;
mod rate_limits;
mod revocations;
pub mod server;
mod signed;
mod webhooks;

use std::{ops::Deref, sync::Arc};

use axum::{
    Router,
    extract::{Request, State as Shared},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use tower_http::{catch_panic::CatchPanicLayer, timeout::RequestBodyTimeoutLayer};

use self::{health::Health, metrics::Scrapes, pressure::Pressure, problem::Problem};
use crate::{
    auth::{ServiceKeys, Verifier},
    config::Queues,
    db::Pool,
    inbound::Inbound,
    operate::Operator,
    outbox::Hub,
    ratelimit::Limiter,
    runtime::Registry,
    submit::{Quotas, Submitter},
    webhooks::Webhooks,
};

/// What the handlers share.
pub struct Rooms {
    pub verifier: Arc<Verifier>,
    pub services: ServiceKeys,
    pub submitter: Submitter,
    pub operator: Operator,
    pub registry: Arc<Registry>,
    pub limiter: Limiter,
    pub quotas: Quotas,
    pub pressure: Pressure,
    pub queues: Arc<Queues>,
    pub pool: Pool,
    pub health: Health,
    pub scrapes: Scrapes,
    pub events: Hub,
    /// Absent: the operator has set no key for them.
    pub webhooks: Option<Webhooks>,
    /// Absent: no profile of Stripe has a secret for them.
    pub inbound: Option<Inbound>,
}

/// Behind one pointer: axum clones it several times a request.
#[derive(Clone)]
struct State(Arc<Rooms>);

impl Deref for State {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}

/// Each has its description in `openapi`: a test holds one against the other.
fn routes() -> openapi::Routes {
    let served = axum::Extension(openapi::Served::default());
    openapi::Routes::new()
        .route("/openapi.json", get(openapi::json).layer(served.clone()))
        .route("/docs", get(openapi::docs).layer(served))
        .route("/jobs", get(jobs::list).post(jobs::submit))
        .route("/jobs/batch", post(jobs::batch))
        .route("/jobs/{id}", get(jobs::get).delete(jobs::cancel))
        .route("/jobs/{id}/retry", post(jobs::retry))
        .route("/jobs/{id}/events", get(events::of_job))
        .route("/events", get(events::all))
        .route("/jobs/bulk/retry", post(jobs::bulk_retry))
        .route("/jobs/bulk/{id}", get(jobs::bulk))
        .route("/queues", get(queues::list))
        .route("/queues/{name}", get(queues::one))
        .route("/queues/{name}/pause", post(queues::pause))
        .route("/queues/{name}/resume", post(queues::resume))
        .route("/queues/{name}/clear", post(queues::clear))
        .route("/limits", get(limits::list))
        .route("/limits/{*scope}", put(limits::set))
        .route("/rate-limits", get(rate_limits::list))
        .route("/rate-limits/{*bucket}", put(rate_limits::set))
        .route("/alerts", get(alerts::list))
        .route("/alerts/{id}", get(alerts::get))
        .route("/alerts/{id}/ack", post(alerts::ack))
        .route("/alerts/{id}/resolve", post(alerts::resolve))
        .route("/alerts/{id}/silence", post(alerts::silence))
        .route("/effects", get(effects::list))
        .route("/effects/{job}/{seq}/resolve", post(effects::resolve))
        .route("/providers", get(providers::list))
        .route("/providers/{name}/pause", post(providers::pause))
        .route("/providers/{name}/resume", post(providers::resume))
        .route("/audit", get(audit::list))
        .route("/cache/stats", get(cache::stats))
        .route("/cache/flush", post(cache::flush))
        .route("/revocations", get(revocations::list).post(revocations::create))
        .route("/plugins", get(plugins::list).post(plugins::publish))
        .route("/plugins/{name}", get(plugins::one))
        .route("/plugins/{name}/releases", get(plugins::history))
        .route("/plugins/{name}/releases/{digest}", delete(plugins::delete_release))
        .route("/plugins/{name}/usage", get(plugins::usage))
        .route("/plugins/{name}/activate", post(plugins::activate))
        .route("/plugins/{name}/rollback", post(plugins::rollback))
        .route("/plugins/{name}/retire", post(plugins::retire))
        .route("/plugins/{name}/migrate", post(plugins::migrate))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", get(keys::get).delete(keys::revoke))
        .route("/keys/{id}/rotate", post(keys::rotate))
        .route("/webhook-endpoints", get(webhooks::list).post(webhooks::create))
        .route("/webhook-endpoints/{id}", get(webhooks::get).patch(webhooks::change).delete(webhooks::delete))
        .route("/webhook-endpoints/{id}/deliveries", get(webhooks::deliveries))
        .route("/webhook-endpoints/{id}/ping", post(webhooks::ping))
        .route("/webhook-endpoints/{id}/replay", post(webhooks::replay))
        .route("/webhook-endpoints/{id}/rotate", post(webhooks::rotate))
        .route("/webhooks/stripe", post(inbound::stripe))
        .route("/metrics", get(metrics::scrape))
        .route("/health", get(health::overview))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
}

pub fn router(rooms: Rooms) -> Router {
    let counted = Arc::clone(&rooms.scrapes.metrics.http);
    let pressure = rooms.pressure.clone();
    let state = State(Arc::new(rooms));
    routes()
        .into_router()
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such resource.") })
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(state.clone(), enter))
        .layer(RequestBodyTimeoutLayer::new(pressure.body_timeout()))
        .layer(middleware::from_fn_with_state(pressure, pressure::guard))
        .layer(middleware::from_fn(linger::linger))
        .layer(middleware::from_fn(around))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(counted, metrics::count))
        .with_state(state)
}

/// Before any handler, and only where there is room for the request: who signed it, then no unknown parameters. In one layer,
/// since each costs every request something.
async fn enter(Shared(state): Shared<State>, request: Request, next: Next) -> Result<Response, Problem> {
    let request = signed::check(&state, request).await?;
    match query::unknown(&request) {
        Some(problem) => Err(problem),
        None => Ok(next.run(request).await),
    }
}

/// What holds for all answers, those of the layers inside too: refusals say all that a refusal says, and there are the common
/// headers.
async fn around(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    if complete::is_refusal(&response) {
        response = complete::refusal(uri.path(), response).await;
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    response
}

/// OPTIONS is answered by what the router adds to both: Allow.
async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let detail = "This resource has no such method; see Allow.";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail).into_response()
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests;
