//! The stream of submits: each job follows from the seed and its number, and is sent under one key until it is acknowledged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use uuid::Uuid;

use crate::{acks::Ack, hosts::Host, rig::Rig, rng::Rng};

/// Submits under way at once.
const IN_FLIGHT: usize = 600;
/// Submits a second, if nothing else is said.
const RATE: u64 = 230;

/// One job of the load.
#[derive(Clone, Debug)]
pub struct Plan {
    pub n: u64,
    pub job_type: &'static str,
    pub tier: i16,
    /// Upstream calls, numbered from 0.
    pub steps: u64,
    payload: Value,
}

impl Plan {
    /// A fifth waits for nothing, a half calls the ledger, some of those twice or again after a failure.
    pub fn new(seed: u64, n: u64, analytics: bool) -> Self {
        let mut rng = Rng::fork(seed, n.wrapping_mul(2) + 1);
        let ok = json!({"do": "ok", "echo": {"n": n}});
        let plan = |job_type, tier, steps, payload| Self { n, job_type, tier, steps, payload };
        match rng.below(100) {
            0..18 => plan("guest-money", 1, 0, ok),
            kind @ 18..70 => {
                let (job_type, tier) = if kind < 44 { ("guest-mail-money", 1) } else { ("guest-mail", 2) };
                let retry = json!({"do": "retry", "until": 2});
                let list = |steps: Vec<Value>| json!({"do": "steps", "steps": steps});
                let (steps, payload) = match rng.below(100) {
                    0..76 => (1, call(n, 0)),
                    76..84 => (2, list(vec![call(n, 0), call(n, 1)])),
                    84..94 => (1, list(vec![call(n, 0), retry])),
                    _ => (2, list(vec![call(n, 0), retry, call(n, 1)])),
                };
                plan(job_type, tier, steps, payload)
            }
            70..80 => plan("guest-mail", 2, 0, ok),
            80..90 if analytics => plan("analytics-track", 3, 0, json!({"event": format!("event {n}")})),
            _ => plan("guest", 3, 0, ok),
        }
    }

    /// Whether the stored result is what this job must have done.
    pub fn explains(&self, result: Option<&str>) -> bool {
        let Some(result) = result.and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return false };
        if self.job_type == "analytics-track" {
            return result.get("release").is_some();
        }
        if self.steps == 0 {
            return result == json!({"n": self.n});
        }
        let list = if result.is_array() { result.as_array().cloned().unwrap_or_default() } else { vec![result] };
        let bodies: Vec<_> = list.iter().filter_map(|one| one.get("body")?.as_str().map(str::to_owned)).collect();
        bodies == (0..self.steps).map(|step| format!("{}/{step}", self.n)).collect::<Vec<_>>()
    }
}

fn call(n: u64, step: u64) -> Value {
    json!({"do": "upstream", "method": "post", "path": "/effects", "body": json!({"job": n, "step": step}).to_string()})
}

/// Returns when all are sent; what is not acknowledged yet goes on in the set.
pub async fn run(rig: Arc<Rig>) -> JoinSet<()> {
    let (options, began) = (rig.options, Instant::now());
    let rate = options.rate.unwrap_or(RATE).max(1);
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut tasks = JoinSet::new();
    for n in 0..options.jobs.unwrap_or(u64::MAX) {
        let due = began + Duration::from_micros(n * 1_000_000 / rate);
        tokio::time::sleep_until(due.into()).await;
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        if began.elapsed() >= Duration::from_secs(options.seconds) {
            break;
        }
        let rig = Arc::clone(&rig);
        tasks.spawn(async move {
            let _place = place;
            submit(&rig, Plan::new(rig.options.seed, n, rig.analytics.is_some())).await;
        });
        while tasks.try_join_next().is_some() {}
    }
    tasks
}

async fn submit(rig: &Rig, plan: Plan) {
    let mut rng = Rng::fork(rig.options.seed, plan.n.wrapping_mul(2));
    let key = format!("chaos-{}-{}", rig.options.seed, plan.n);
    let body = json!({"type": plan.job_type, "payload": plan.payload, "metadata": {"n": plan.n}}).to_string();
    let sent = Instant::now();
    match accepted(&rig.hosts, &rig.http, &rig.user, &key, &body, &mut rng).await {
        Ok((id, tries)) => rig.acks.add(Ack { plan, id, sent, answered: Instant::now(), tries }).await,
        Err(why) => rig.acks.refuse(format!("job {}: {why}", plan.n)),
    }
}

/// Sends a submit under one key to one host or another until it is acknowledged: the job, and how many tries it took. An error
/// is a refusal for good.
pub async fn accepted(
    hosts: &[Arc<Host>],
    http: &reqwest::Client,
    token: &str,
    key: &str,
    body: &str,
    rng: &mut Rng,
) -> Result<(Uuid, u32), String> {
    let mut tries = 0;
    loop {
        tries += 1;
        let host = &hosts[rng.index(hosts.len())];
        if let Some(base) = host.base() {
            let request = http
                .post(format!("{base}/jobs"))
                .bearer_auth(token)
                .header("content-type", "application/json")
                .header("idempotency-key", key)
                .body(body.to_owned());
            match answer(request).await {
                Ok((200 | 202, answer)) => {
                    let id = answer["id"].as_str().and_then(|id| id.parse().ok());
                    return id.map(|id| (id, tries)).ok_or_else(|| format!("no id in {answer}"));
                }
                Ok((status, answer)) if status < 500 && status != 429 && status != 408 => {
                    return Err(format!("{status} {answer}"));
                }
                Ok(_) | Err(_) => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(30 + rng.below(200))).await;
    }
}

/// Status and body, as JSON where it is.
pub async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Value)> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
}
