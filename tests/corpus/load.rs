//! Submits at an even pace, each timed: before any component comes, and while one is being taken in.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use crate::{Options, rig::Rig, support::Client};

/// Submits a second: few enough that the machine is not busy with them alone.
const RATE: u64 = 40;
/// Until caches and connections are there.
const WARM_UP: Duration = Duration::from_secs(5);

/// What a submit falls into.
const UNTOLD: u8 = 0;
const BEFORE: u8 = 1;
const DURING: u8 = 2;

#[derive(Default)]
pub struct Submits {
    pub acknowledged: i64,
    pub failed: Vec<String>,
    pub before: Vec<Duration>,
    pub during: Vec<Duration>,
}

pub struct Load {
    phase: Arc<AtomicU8>,
    closing: Arc<AtomicBool>,
    submits: Arc<Mutex<Submits>>,
    stream: JoinHandle<()>,
}

impl Load {
    pub fn start(rig: &Rig) -> Self {
        let (phase, closing) = (Arc::new(AtomicU8::new(UNTOLD)), Arc::new(AtomicBool::new(false)));
        let submits = Arc::<Mutex<Submits>>::default();
        let stream = stream(rig.user.clone(), Arc::clone(&phase), Arc::clone(&closing), Arc::clone(&submits));
        Self { phase, closing, submits, stream: tokio::spawn(stream) }
    }

    /// What it is like by itself.
    pub async fn alone(&self, options: Options) {
        tokio::time::sleep(WARM_UP).await;
        self.phase.store(BEFORE, Relaxed);
        tokio::time::sleep(Duration::from_secs(if options.is_long() { 60 } else { 5 })).await;
        self.phase.store(UNTOLD, Relaxed);
    }

    /// What it is like meanwhile.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        self.phase.store(DURING, Relaxed);
        let done = work.await;
        self.phase.store(UNTOLD, Relaxed);
        done
    }

    pub async fn end(self) -> Submits {
        self.closing.store(true, Relaxed);
        self.stream.await.unwrap();
        std::mem::take(&mut *self.submits.lock().unwrap())
    }
}

async fn stream(client: Client, phase: Arc<AtomicU8>, closing: Arc<AtomicBool>, submits: Arc<Mutex<Submits>>) {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let mut under_way = JoinSet::new();
    while !closing.load(Relaxed) {
        ticks.tick().await;
        let (client, phase, submits) = (client.clone(), phase.load(Relaxed), Arc::clone(&submits));
        under_way.spawn(async move { submit(&client, phase, &submits).await });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

async fn submit(client: &Client, phase: u8, submits: &Mutex<Submits>) {
    let body = json!({"type": "guest-money", "payload": {"do": "ok"}}).to_string();
    let request = client.request(Method::POST, "/jobs").header("content-type", "application/json").body(body);
    let began = Instant::now();
    let answer = request.send().await;
    let took = began.elapsed();
    let mut submits = submits.lock().unwrap();
    match answer.map(|answer| answer.status().as_u16()) {
        Ok(202) => submits.acknowledged += 1,
        Ok(status) => submits.failed.push(format!("a submit was answered {status}")),
        Err(error) => submits.failed.push(format!("a submit was not answered: {error}")),
    }
    match phase {
        BEFORE => submits.before.push(took),
        DURING => submits.during.push(took),
        _ => {}
    }
}

/// The time that 99 of 100 took at most.
pub fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}
