//! The door: HTTP in JSON, errors as RFC 9457 problems.
//!
//! Owns: routes, who may use them, the shape of requests and answers.
//! Refuses: what it cannot read, with a place; what the caller may not see, as if it were not there.
//! Invariant: a handler that takes a `Caller` runs only for an authenticated one; a 5xx tells nothing of its cause.
//! Tables: none.

mod alerts;
mod body;
mod caller;
mod effects;
pub mod health;
mod jobs;
mod limits;
#[cfg(any(test, feature = "fuzzing"))]
pub mod parsers;
mod planted;
mod plugins;
mod problem;
mod providers;
mod queues;
mod rate_limits;
mod webhooks;

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use tower_http::{catch_panic::CatchPanicLayer, timeout::RequestBodyTimeoutLayer};

use self::{health::Health, problem::Problem};
use crate::{
    auth::Verifier, config::Queues, db::Pool, operate::Operator, ratelimit::Limiter, runtime::Registry,
    submit::Submitter, webhooks::Webhooks,
};

/// What the handlers share.
pub struct Rooms {
    pub verifier: Arc<Verifier>,
    pub submitter: Submitter,
    pub operator: Operator,
    pub registry: Arc<Registry>,
    pub limiter: Limiter,
    pub queues: Arc<Queues>,
    pub pool: Pool,
    pub health: Health,
    /// Absent: the operator has set no key for them.
    pub webhooks: Option<Webhooks>,
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

/// A body that stands still for this long is given up.
const SLOW_BODY: Duration = Duration::from_secs(15);

pub fn router(rooms: Rooms) -> Router {
    Router::new()
        .route("/jobs", get(jobs::list).post(jobs::submit))
        .route("/jobs/batch", post(jobs::batch))
        .route("/jobs/{id}", get(jobs::get).delete(jobs::cancel))
        .route("/jobs/{id}/retry", post(jobs::retry))
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
        .route("/effects", get(effects::list))
        .route("/effects/{job}/{seq}/resolve", post(effects::resolve))
        .route("/providers", get(providers::list))
        .route("/providers/{name}/pause", post(providers::pause))
        .route("/providers/{name}/resume", post(providers::resume))
        .route("/audit", get(providers::audit))
        .route("/plugins", get(plugins::list).post(plugins::publish))
        .route("/plugins/{name}", get(plugins::one))
        .route("/plugins/{name}/releases", get(plugins::history))
        .route("/plugins/{name}/releases/{digest}", delete(plugins::delete_release))
        .route("/plugins/{name}/usage", get(plugins::usage))
        .route("/plugins/{name}/activate", post(plugins::activate))
        .route("/plugins/{name}/rollback", post(plugins::rollback))
        .route("/plugins/{name}/retire", post(plugins::retire))
        .route("/plugins/{name}/migrate", post(plugins::migrate))
        .route("/webhook-endpoints", get(webhooks::list).post(webhooks::create))
        .route("/webhook-endpoints/{id}", get(webhooks::get).patch(webhooks::change).delete(webhooks::delete))
        .route("/webhook-endpoints/{id}/deliveries", get(webhooks::deliveries))
        .route("/webhook-endpoints/{id}/ping", post(webhooks::ping))
        .route("/webhook-endpoints/{id}/replay", post(webhooks::replay))
        .route("/webhook-endpoints/{id}/rotate", post(webhooks::rotate))
        .route("/health", get(health::overview))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such resource.") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "This resource has no such method; see Allow.",
            )
        })
        .layer(RequestBodyTimeoutLayer::new(SLOW_BODY))
        .layer(middleware::from_fn(common_headers))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(State(Arc::new(rooms)))
}

async fn common_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    response
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests;
