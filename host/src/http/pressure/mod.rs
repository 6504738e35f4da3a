//! What a host turns away before it runs out of memory, and the bounds of a request's head.
//!
//! Submits go first, health and metrics last: who submits can come again, and who looks after the host must see it.

mod budget;
mod memory;

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

pub(super) use self::budget::Overdrawn;
use self::{
    budget::{Budget, Charge, Counted},
    memory::{Memory, Shortage},
};
use super::{jobs::MAX_BATCH, problem::Problem, server::Spare};
use crate::{
    auth::{Caller, Role},
    config,
    lifecycle::Lifecycle,
};

/// Of path and query, in bytes.
const MAX_URI: usize = 8 << 10;
/// Names and values of a request's header fields together, in bytes.
const MAX_HEADERS: usize = 16 << 10;
/// Header fields of a request. hyper reads no more of HTTP/1.
const MAX_FIELDS: usize = 100;

/// What this host has in use of what it may. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pressure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bodies: Arc<Budget>,
    /// Of senders who are known only when the whole body is there: what they hold takes nothing from the others.
    strangers: Arc<Budget>,
    memory: Memory,
    body_timeout: Duration,
}

/// What strangers have beside the budget, as a part of it, and at least: some of the longest events.
const OF_STRANGERS: u64 = 8;
const LEAST: u64 = 1 << 20;

/// The largest body that any route takes.
const LARGEST: u64 = 32 << 20;

/// What one tenant has of the budget, as a part of it; the longest batch has room.
const OF_ONE: u64 = 8;

/// The body of a request, for those who come to know more of it.
#[derive(Clone, Debug)]
pub(super) struct Held(Arc<Charge>);

impl Held {
    /// Tenants have a share, and callers without one do. Admins look after all, and bring components, which are long.
    pub fn is_of(&self, caller: &Caller) {
        if caller.role != Role::Admin {
            self.0.is_of(caller.tenant.as_ref().unwrap_or(&caller.subject));
        }
    }

    /// Nothing is kept of the body, though its request goes on.
    pub fn release(&self) {
        self.0.release();
    }
}

/// In the order in which they are turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Submit,
    /// What is let in by a signature over its body.
    Event,
    Other,
    /// What tells how the host is.
    Probe,
}

impl Pressure {
    pub fn new(settings: &config::Pressure) -> Self {
        Self(Arc::new(Inner {
            bodies: Arc::new(Budget::new(settings.bodies, (settings.bodies / OF_ONE).max(MAX_BATCH as u64))),
            strangers: Arc::new(Budget::new((settings.bodies / OF_STRANGERS).max(LEAST), u64::MAX)),
            memory: Memory::new(settings.memory),
            body_timeout: settings.body_timeout,
        }))
    }

    /// A body that stands still for this long is given up.
    pub fn body_timeout(&self) -> Duration {
        self.0.body_timeout
    }

    /// Looks at the memory a few times a second, until the host ends.
    pub async fn watch(self, lifecycle: Lifecycle) {
        self.0.memory.watch(lifecycle).await;
    }

    fn budget(&self, class: Class) -> &Arc<Budget> {
        if class == Class::Event { &self.0.strangers } else { &self.0.bodies }
    }

    /// What is short for this class, in words for the caller.
    fn shed(&self, class: Class, request: &Request) -> Option<&'static str> {
        if class == Class::Probe {
            return None;
        }
        if request.extensions().get::<Spare>().is_some() {
            return Some("All connections of this host are busy; nothing was read.");
        }
        match (self.0.memory.shortage(), class) {
            (Shortage::None, _) | (Shortage::Some, Class::Event | Class::Other) => {}
            _ => return Some("This host is short of memory; nothing was read."),
        }
        // What is announced and surely has no room need not be sent. What no route takes is refused by the route: to come again
        // would not help.
        let length: u64 = request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
        let has_room = self.budget(class).has_room(length.min(LARGEST), class == Class::Submit);
        (!has_room).then_some("This host has too many request bodies in hand; nothing was read.")
    }
}

fn class(method: &Method, path: &str) -> Class {
    match path {
        "/jobs" | "/jobs/batch" if method == Method::POST => Class::Submit,
        "/webhooks/stripe" => Class::Event,
        "/metrics" | "/health" => Class::Probe,
        path if path.starts_with("/health/") => Class::Probe,
        _ => Class::Other,
    }
}

/// Before anything else is done for a request.
pub(super) async fn guard(Shared(pressure): Shared<Pressure>, request: Request, next: Next) -> Response {
    if let Some(problem) = too_long(&request) {
        return problem.into_response();
    }
    let class = class(request.method(), request.uri().path());
    if let Some(short) = pressure.shed(class, &request) {
        tracing::debug!(class = ?class, "a request was turned away");
        let mut response = Problem::busy(short).into_response();
        if request.extensions().get::<Spare>().is_some() {
            // The next try is for an ordinary connection.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        return response;
    }
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let charge = Arc::new(pressure.budget(class).charge(class == Class::Submit));
    let patience = pressure.0.body_timeout;
    let mut request = request.map(|body| Body::new(Counted::new(body, Arc::clone(&charge), patience)));
    request.extensions_mut().insert(Held(Arc::clone(&charge)));
    let response = next.run(request).await;
    // Until here the handler had the body in memory, unless it said otherwise.
    drop(charge);
    response
}

fn too_long(request: &Request) -> Option<Problem> {
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if uri > MAX_URI {
        let detail = format!("Path and query may have at most {MAX_URI} bytes.");
        return Some(Problem::new(StatusCode::URI_TOO_LONG, "uri-too-long", detail));
    }
    if request.headers().len() > MAX_FIELDS || length(request.headers()) > MAX_HEADERS {
        let detail = format!("A request may have at most {MAX_FIELDS} header fields of {MAX_HEADERS} bytes together.");
        return Some(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", detail));
    }
    None
}

fn length(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submits_go_first_and_probes_last() {
        assert!(Class::Submit < Class::Event && Class::Event < Class::Other && Class::Other < Class::Probe);
        for (method, path, wanted) in [
            (Method::POST, "/jobs", Class::Submit),
            (Method::POST, "/jobs/batch", Class::Submit),
            (Method::POST, "/webhooks/stripe", Class::Event),
            (Method::GET, "/jobs", Class::Other),
            (Method::POST, "/jobs/bulk/retry", Class::Other),
            (Method::GET, "/health", Class::Probe),
            (Method::GET, "/health/ready", Class::Probe),
            (Method::GET, "/metrics", Class::Probe),
            (Method::GET, "/healthy", Class::Other),
        ] {
            assert_eq!(class(&method, path), wanted, "{method} {path}");
        }
    }
}
