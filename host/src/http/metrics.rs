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
    response::Response,
};
use tokio::sync::Mutex;

use super::{State, caller::OptionalCaller, problem::Problem};
use crate::{
    auth::Caller,
    config::{MetricsAuth, Queues},
    db::Pool,
    queue::store,
    telemetry::metrics::{Depth, Http, Metrics, TEXT_FORMAT},
};

/// A look into the database is for all scrapes of so long.
const FRESH: Duration = Duration::from_secs(3);
/// A scrape waits no longer for a look: the rest is of use without.
const PATIENCE: Duration = Duration::from_secs(1);
/// The ages are looked for so many times less long than not: where that is slow, it is rare.
const REST: u32 = 50;

/// What `GET /metrics` shows, and to whom.
pub struct Scrapes {
    pub metrics: Metrics,
    auth: MetricsAuth,
    looks: Mutex<Looks>,
}

/// When the database is looked at again.
#[derive(Default)]
struct Looks {
    depths: Option<Instant>,
    ages: Option<Instant>,
}

impl Scrapes {
    pub fn new(metrics: Metrics, auth: MetricsAuth) -> Self {
        Self { metrics, auth, looks: Mutex::default() }
    }

    async fn look(&self, pool: &Pool, queues: &Queues) {
        // Whoever comes meanwhile waits for what this one sees.
        let mut looks = self.looks.lock().await;
        if looks.depths.is_some_and(|next| Instant::now() < next) {
            return;
        }
        let seen = tokio::time::timeout(PATIENCE, depths(pool, queues)).await;
        looks.depths = Some(Instant::now() + FRESH);
        let Ok(Ok(depths)) = seen else {
            self.metrics.queues.unseen();
            looks.ages = None;
            return;
        };
        self.metrics.queues.depths(&depths);
        let began = Instant::now();
        if looks.ages.is_some_and(|next| began < next) {
            return;
        }
        match tokio::time::timeout(PATIENCE, ages(pool, queues)).await {
            Ok(Ok(ages)) => self.metrics.queues.ages(ages.iter().map(|(queue, age)| (queue.as_str(), *age))),
            Ok(Err(_)) | Err(_) => self.metrics.queues.no_ages(),
        }
        looks.ages = Some(Instant::now() + began.elapsed() * REST);
    }
}

/// Of the queues that are configured here: those of other hosts are shown by them.
async fn depths(pool: &Pool, queues: &Queues) -> sqlx::Result<Vec<Depth>> {
    let counts = store::counts(&mut *pool.read().await?).await?;
    // Those that ended are counted by each host as they end.
    let live = counts.into_iter().filter(|count| count.sampled_at.is_some() && queues.0.contains_key(&count.queue));
    Ok(live.map(|count| Depth { queue: count.queue, state: count.state, jobs: count.count }).collect())
}

async fn ages(pool: &Pool, queues: &Queues) -> sqlx::Result<BTreeMap<String, Duration>> {
    // What a scrape gave up waiting for must not go on.
    let mut tx = pool.begin_with("SET LOCAL statement_timeout = '900ms'").await?;
    let named: Vec<_> = queues.0.iter().map(|(name, queue)| (name.clone(), queue.tier)).collect();
    let mut ages: BTreeMap<_, _> = named.iter().map(|(name, _)| (name.clone(), Duration::ZERO)).collect();
    ages.extend(store::oldest_ready(&mut tx, &named).await?);
    tx.rollback().await?;
    Ok(ages)
}

/// `GET /metrics`: the same for everybody, or for callers only.
pub(super) async fn scrape(Shared(state): Shared<State>, request: Request) -> Result<Response, Problem> {
    let (scrapes, (mut parts, _)) = (&state.scrapes, request.into_parts());
    if scrapes.auth == MetricsAuth::Required {
        Caller::from_request_parts(&mut parts, &state).await?;
    }
    let caller = OptionalCaller::from_request_parts(&mut parts, &state).await?;
    scrapes.look(&state.pool, &state.queues).await;
    Ok(caller.tell(([(header::CONTENT_TYPE, TEXT_FORMAT)], scrapes.metrics.text())))
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
