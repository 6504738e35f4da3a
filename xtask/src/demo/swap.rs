use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Stage, http::Http, ship, story};
use crate::{
    json::Json,
    sh::{Failure, Result, failed},
};

const STREAMS: usize = 8;
const SWAPS: usize = 10;
const EVERY: Duration = Duration::from_secs(1);

/// What the swap came to. All but the last must be zero.
pub struct Sums {
    jobs: usize,
    lost: usize,
    failed: usize,
    twice: usize,
    /// From the rename of the file to the activation, the slowest.
    switched_in: Duration,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, lost, failed, twice, switched_in } = self;
        write!(
            f,
            "jobs={jobs} swaps={SWAPS} lost={lost} failed={failed} twice={twice} switched_in_ms={}",
            switched_in.as_millis()
        )
    }
}

/// A stream of jobs from several clients, while their code is swapped every second; then every job is looked at.
pub fn run(stage: &Stage) -> Result<Sums> {
    println!("\n5  The code of analytics-track is swapped every second, under a stream of jobs");
    let done = AtomicBool::new(false);
    let (submitted, switched_in, releases) = thread::scope(|scope| {
        let streams: Vec<_> = (0..STREAMS)
            .map(|n| {
                scope.spawn({
                    let done = &done;
                    move || stream(stage, n, done)
                })
            })
            .collect();
        let swapped = swap_often(stage);
        done.store(true, Ordering::Relaxed);
        let mut submitted = Vec::new();
        for stream in streams {
            submitted.extend(stream.join().map_err(|_| Failure::Failed("a stream panicked".to_owned()))??);
        }
        let (switched_in, releases) = swapped?;
        Ok::<_, Failure>((submitted, switched_in, releases))
    })?;

    let mut host = stage.http()?;
    wait_settled(&mut host)?;
    let mut sums = Sums { jobs: submitted.len(), lost: 0, failed: 0, twice: 0, switched_in };
    let mut missing: HashSet<_> = submitted.into_iter().collect();
    let mut seen = HashSet::new();
    let mut by_release: BTreeMap<String, usize> = BTreeMap::new();
    each_job(&mut host, |job| {
        let id = job.text("id").to_owned();
        sums.twice += usize::from(!seen.insert(id.clone()) || job.get("attempt") != Some(&Json::Number(1.0)));
        let result = job.get("result").map(|result| result.text("release").to_owned()).unwrap_or_default();
        // The result must be that of the code whose digest stands on the row.
        let right = releases.get(job.text("release")).is_some_and(|of_digest| *of_digest == result);
        sums.failed += usize::from(job.text("state") != "completed" || !right);
        *by_release.entry(result).or_default() += 1;
        missing.remove(&id);
    })?;
    sums.lost = missing.len();
    for (release, count) in &by_release {
        println!("   {count} jobs ran on {release}");
    }
    if sums.lost + sums.failed + sums.twice > 0 || by_release.len() != 2 {
        return failed(format!("the swap went wrong: {sums}"));
    }
    Ok(sums)
}

fn stream(stage: &Stage, thread: usize, done: &AtomicBool) -> Result<Vec<String>> {
    let mut host = stage.http()?;
    let mut ids = Vec::new();
    while !done.load(Ordering::Relaxed) {
        ids.push(host.submit("analytics-track", &story::event(thread, ids.len()))?);
    }
    Ok(ids)
}

/// Ships v2, v1, v2 … and returns the slowest activation, and which digest is which release.
fn swap_often(stage: &Stage) -> Result<(Duration, BTreeMap<String, String>)> {
    let mut host = stage.http()?;
    let mut releases = BTreeMap::from([(serving(&mut host)?, "v1".to_owned())]);
    let mut slowest = Duration::ZERO;
    for n in 0..SWAPS {
        let (file, name) = if n % 2 == 0 { ("analytics-v2.wasm", "v2") } else { ("analytics.wasm", "v1") };
        let (before, began) = (serving(&mut host)?, Instant::now());
        ship(&stage.built.plugins.join(file), &stage.plugins.join("analytics.wasm"))?;
        let digest = loop {
            let now = serving(&mut host)?;
            if now != before {
                break now;
            }
            if began.elapsed() > Duration::from_secs(30) {
                return failed(format!("{name} was not activated"));
            }
            thread::sleep(Duration::from_millis(5));
        };
        let took = began.elapsed();
        println!("   {name} serves after {} ms", took.as_millis());
        slowest = slowest.max(took);
        releases.insert(digest, name.to_owned());
        thread::sleep(EVERY.saturating_sub(took));
    }
    Ok((slowest, releases))
}

fn serving(host: &mut Http) -> Result<String> {
    let plugins = host.get("/plugins")?.body;
    let plugins = plugins.get("plugins").map(Json::as_array).unwrap_or_default();
    let analytics = plugins.iter().find(|plugin| plugin.text("name") == "analytics");
    Ok(analytics.map(|plugin| plugin.text("digest").to_owned()).unwrap_or_default())
}

fn wait_settled(host: &mut Http) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        let mut live = 0;
        for state in ["ready", "running", "scheduled", "blocked"] {
            let page = host.get(&format!("/jobs?type=analytics-track&limit=1&state={state}"))?.body;
            live += page.get("items").map(|items| items.as_array().len()).unwrap_or_default();
        }
        if live == 0 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    failed("the stream's jobs did not end")
}

fn each_job(host: &mut Http, mut look: impl FnMut(&Json)) -> Result<()> {
    let mut cursor = String::new();
    loop {
        let page = host.get(&format!("/jobs?type=analytics-track&limit=200{cursor}"))?.body;
        page.get("items").map(Json::as_array).unwrap_or_default().iter().for_each(&mut look);
        match page.get("nextCursor").and_then(Json::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(()),
        }
    }
}
