use std::{collections::BTreeMap, time::Duration};

use axum::{
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};

use crate::{
    auth::Caller,
    http::{State, problem::Problem},
    ratelimit::{Bucket, Entry, Standing},
    submit::Full,
};

/// Whether and how a request may submit: rate limits of its caller and tenants, and how many live jobs these have. What it
/// says of the limits goes on every answer.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Absent where nothing is limited, so that nobody pays for what is not in use.
    caller: Option<Bucket>,
    tenants: Vec<Bucket>,
    /// Until there is room, for whoever was turned away.
    later: Option<Duration>,
}

/// Jobs of one tenant and type.
pub(super) type Wanted<'a> = (&'a str, &'a str);

impl Admission {
    pub fn of(state: &State, caller: &Caller) -> Self {
        if !state.limiter.limits_submits() {
            return Self::default();
        }
        // A key of several tenants is one caller, whichever of them a request names.
        let own = match &caller.scope {
            Some(scope) => scope.only_tenant().map(String::as_str),
            None => caller.tenant.as_deref(),
        };
        Self {
            caller: Some(Bucket::submits_by(own, &caller.subject)),
            tenants: caller.tenant.as_deref().map(Bucket::submits_of).into_iter().collect(),
            later: None,
        }
    }

    /// All of these jobs, or none: 429 where a limit or a quota says so.
    pub async fn admit(&mut self, state: &State, jobs: &[Wanted<'_>]) -> Result<(), Problem> {
        self.within_rates(state, jobs).await?;
        if !state.quotas.is_any() {
            return Ok(());
        }
        // Known types only; what is of none is refused by the submit itself.
        let queue = |job_type: &str| state.submitter.catalog().get(job_type).map(|e| e.job_type.queue.clone());
        let mut live: BTreeMap<(String, &str), u32> = BTreeMap::new();
        for (tenant, job_type) in jobs {
            if let Some(queue) = queue(job_type) {
                *live.entry((queue, *tenant)).or_default() += 1;
            }
        }
        for ((queue, tenant), count) in live {
            state.quotas.take(&queue, tenant, count).await.map_err(full)?;
        }
        Ok(())
    }

    async fn within_rates(&mut self, state: &State, jobs: &[Wanted<'_>]) -> Result<(), Problem> {
        let Some(caller) = &self.caller else { return Ok(()) };
        let mut tenants: BTreeMap<&str, u32> = BTreeMap::new();
        for (tenant, _) in jobs {
            *tenants.entry(*tenant).or_default() += 1;
        }
        let all = tenants.values().sum();
        let of_tenants = tenants.into_iter().map(|(tenant, count)| (Bucket::submits_of(tenant), count));
        let draws: Vec<_> = std::iter::once((caller.clone(), all)).chain(of_tenants).collect();
        self.tenants = draws.iter().skip(1).map(|(bucket, _)| bucket.clone()).collect();
        match state.limiter.enter(&draws).await.map_err(|e| Problem::database(&e))? {
            Entry::Go => Ok(()),
            Entry::Later(wait) => {
                self.later = Some(wait);
                let detail = "There were too many submits lately; nothing was written. See RateLimit and Retry-After.";
                Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail).retry_after(whole(wait)))
            }
            Entry::Never(burst) => Err(Problem::field(
                "/jobs",
                format!(
                    "holds more jobs of one caller or tenant than a rate limit ever lets through at once ({burst})"
                ),
            )),
        }
    }

    /// The answer, with what it says of the limits in force (draft-ietf-httpapi-ratelimit-headers-11).
    pub fn on(&self, state: &State, answer: impl IntoResponse) -> Response {
        let mut response = answer.into_response();
        let Some(caller) = &self.caller else { return response };
        let caller = state.limiter.standing(caller).map(|standing| ("caller", standing));
        // One of each name: of several tenants the one that is nearest to its limit.
        let tenants = self.tenants.iter().filter_map(|bucket| state.limiter.standing(bucket));
        let tenant = tenants.min_by_key(|standing| standing.left).map(|standing| ("tenant", standing));
        let standings: Vec<_> = caller.into_iter().chain(tenant).collect();
        if standings.is_empty() {
            return response;
        }
        let list = |item: &dyn Fn(&(&str, Standing)) -> String| {
            let items: Vec<_> = standings.iter().map(item).collect();
            // Words and numbers of ours.
            HeaderValue::try_from(items.join(", ")).ok()
        };
        let policy = list(&|(name, standing)| {
            let window = f64::from(standing.limit.burst()) / standing.limit.rate.per_second();
            // Up to whole seconds, but for what is rounding.
            let window = (window - 1e-6).ceil().max(1.0);
            format!("\"{name}\";q={};w={window}", standing.limit.burst())
        });
        let now = list(&|(name, standing)| {
            // Whoever was turned away reads the same time here as in Retry-After.
            let reset = self.later.unwrap_or(standing.full_in);
            format!("\"{name}\";r={};t={}", standing.left, whole(reset))
        });
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", now)] {
            if let Some(value) = value {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// Seconds, rounded up, so that whoever waits for them has waited long enough.
fn whole(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

/// How long a caller is asked to wait for jobs to end: nobody knows; by then there is another count.
const NEXT_COUNT: u64 = 2;

fn full(full: Full) -> Problem {
    let detail = format!(
        "The tenant has {} live jobs in the queue \"{}\", which is as many as it may; nothing was written.",
        full.most, full.queue
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-live-jobs", detail)
        .with("queue", full.queue)
        .with("limit", full.most)
        .retry_after(NEXT_COUNT)
}
