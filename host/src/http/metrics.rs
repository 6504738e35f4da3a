use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequestParts, MatchedPath, Request, State as Shared},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::sync::Mutex;

use super::{State, problem::Problem};
use crate::{
    auth::Caller,
    config::{MetricsAuth, Queues},
    db::Pool,
    queue::store,
    telemetry::metrics::{Depth, Http, Metrics, TEXT_FORMAT},
};

/// A look into the database is for all scrapes of so long.
const FRESH: Duration = Duration::from_secs(3);
/// A scrape waits no longer for it: the rest is of use without.
const PATIENCE: Duration = Duration::from_secs(1);

/// What `GET /metrics` shows, and to whom.
pub struct Scrapes {
    pub metrics: Metrics,
    auth: MetricsAuth,
    /// When the database was looked at.
    looked: Mutex<Option<Instant>>,
}

impl Scrapes {
    pub fn new(metrics: Metrics, auth: MetricsAuth) -> Self {
        Self { metrics, auth, looked: Mutex::default() }
    }

    async fn look(&self, pool: &Pool, queues: &Queues) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        match tokio::time::timeout(PATIENCE, seen(pool, queues)).await {
            Ok(Ok((depths, oldest))) => {
                let oldest = oldest.iter().map(|(queue, age)| (queue.as_str(), *age));
                self.metrics.queues.seen(&depths, oldest);
            }
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "the queues could not be looked at for a scrape");
                self.metrics.queues.unseen();
            }
            Err(_) => self.metrics.queues.unseen(),
        }
        *looked = Some(Instant::now());
    }
}

/// Of the queues that are configured here: those of other hosts are shown by them.
async fn seen(pool: &Pool, queues: &Queues) -> sqlx::Result<(Vec<Depth>, BTreeMap<String, Duration>)> {
    // What a caller gave up waiting for must not go on.
    let mut tx = pool.begin_with("SET LOCAL statement_timeout = '900ms'").await?;
    let named: Vec<_> = queues.0.iter().map(|(name, queue)| (name.clone(), queue.tier)).collect();
    let mut oldest: BTreeMap<_, _> = named.iter().map(|(name, _)| (name.clone(), Duration::ZERO)).collect();
    oldest.extend(store::oldest_ready(&mut tx, &named).await?);
    let counts = store::counts(&mut tx).await?;
    tx.rollback().await?;
    // Those that ended are counted by each host as they end.
    let live = counts.into_iter().filter(|count| count.sampled_at.is_some() && queues.0.contains_key(&count.queue));
    let depths = live.map(|count| Depth { queue: count.queue, state: count.state, jobs: count.count });
    Ok((depths.collect(), oldest))
}

/// `GET /metrics`.
pub(super) async fn scrape(Shared(state): Shared<State>, request: Request) -> Result<Response, Problem> {
    let scrapes = &state.scrapes;
    if scrapes.auth == MetricsAuth::Required {
        let (mut parts, _) = request.into_parts();
        Caller::from_request_parts(&mut parts, &state).await?;
    }
    scrapes.look(&state.pool, &state.queues).await;
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], scrapes.metrics.text()).into_response())
}

/// Counts every request, those that are refused or end in a panic too.
pub(super) async fn count(Shared(http): Shared<Arc<Http>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let under_way = http.begin(route, request.method().as_str(), length(request.body()));
    let response = next.run(request).await;
    under_way.answered(response.status().as_u16(), length(response.body()));
    response
}

/// Where it is known beforehand.
fn length(body: &Body) -> Option<u64> {
    body.size_hint().exact()
}
