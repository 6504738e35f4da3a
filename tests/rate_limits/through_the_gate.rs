//! Hosts that call an upstream within its limits.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::put;
use crate::support::{Client, Db, Host, HostOptions, eventually, within};

/// An upstream that notes when it was asked for what.
struct Upstream {
    base: String,
    began: Instant,
    asked: Arc<Mutex<Vec<(Duration, String)>>>,
    /// How many of the next requests are answered by 429 with a Retry-After of 3 s.
    busy: Arc<AtomicU64>,
}

const RETRY_AFTER: Duration = Duration::from_secs(3);

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (began, asked, busy) = (Instant::now(), Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicU64>::default());
        let (log, left) = (Arc::clone(&asked), Arc::clone(&busy));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, began, Arc::clone(&log), Arc::clone(&left)));
            }
        });
        Self { base, began, asked, busy }
    }

    /// When, in seconds, and for which path.
    fn asked(&self) -> Vec<(f64, String)> {
        self.asked.lock().unwrap().iter().map(|(at, path)| (at.as_secs_f64(), path.clone())).collect()
    }

    fn options(&self, more: &str) -> HostOptions {
        let config = format!("[upstreams.rig]\nbase_url = \"{}\"\nmethods = [\"GET\"]\n{more}", self.base);
        HostOptions { plugins: vec!["guest-effects.wasm"], config, ..HostOptions::default() }
    }
}

async fn serve(mut socket: TcpStream, began: Instant, log: Arc<Mutex<Vec<(Duration, String)>>>, busy: Arc<AtomicU64>) {
    let mut received = Vec::new();
    while let Ok(byte) = socket.read_u8().await {
        received.push(byte);
        if !received.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&received).into_owned();
        let path = text.split_whitespace().nth(1).unwrap().to_owned();
        received.clear();
        log.lock().unwrap().push((began.elapsed(), path));
        let is_busy = busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        let answer: &[u8] = if is_busy {
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        };
        if socket.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn second(options: HostOptions) -> HostOptions {
    HostOptions { plugins: Vec::new(), ..options }
}

async fn call(client: &Client, path: &str) -> String {
    client.submit("guest-mail", json!({"do": "upstream", "method": "get", "path": path})).await
}

async fn done(db: &Db) {
    eventually("all are done", async || (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())).await;
}

/// The most that were asked within a time, over all moments.
fn most_within(times: &[f64], window: f64) -> usize {
    times.iter().map(|from| times.iter().filter(|at| (*from..=from + window).contains(*at)).count()).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_together_never_pass_more_than_the_rate_and_the_burst() {
    let (db, upstream) = (Db::new().await, Upstream::start().await);
    let limits = "[rate_limits]\n\"destination/upstream/rig\" = { rate = \"20/s\", burst = 10 }\n\
                  \"provider/upstream\" = { rate = \"1000/s\", burst = 1000 }\n";
    let first = Host::start(&db, None, upstream.options(limits)).await;
    let other = Host::start(&db, None, second(upstream.options(limits))).await;
    let clients = [first.client(), other.client()];
    let mut ids = Vec::new();
    for n in 0..100 {
        ids.push(call(&clients[n % 2], &format!("/{n}")).await);
    }
    done(&db).await;
    let times: Vec<_> = upstream.asked().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times.len(), 100, "each once");
    for window in [0.5, 1.0, 2.0] {
        // Between the limiter and the upstream lies the journal: a call may be late, and the next one not.
        let most = 20.0 * (window + 0.3) + 10.0;
        let found = most_within(&times, window);
        assert!(found as f64 <= most, "{found} in {window} s");
    }
    // Nor was it slower than it had to be, by far: 90 behind the burst take 4.5 s.
    assert!(times[99] - times[0] < 30.0, "{}", times[99] - times[0]);
    let burnt = "SELECT count(*) FROM jobs_archive WHERE state <> 'completed' OR attempt > 1";
    assert_eq!(db.count(burnt).await, 0, "a limit burns no attempt");
    assert_eq!(db.count("SELECT count(*) FROM rate_slots").await, 0, "all came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_job_comes_back_at_its_time_and_passes_before_newcomers() {
    let (db, upstream) = (Db::new().await, Upstream::start().await);
    let limits = "[rate_limits]\n\"destination/upstream/rig\" = { rate = \"1/s\", burst = 1 }\n";
    let first = Host::start(&db, None, upstream.options(limits)).await;
    let other = Host::start(&db, None, second(upstream.options(limits))).await;
    for n in 0..5 {
        call(&first.client(), &format!("/old{n}")).await;
    }
    eventually("all stand in line", async || {
        let waiting = db.count("SELECT count(*) FROM rate_slots").await;
        (waiting as usize + upstream.asked().len() >= 5).then_some(())
    })
    .await;
    for n in 0..5 {
        call(&[first.client(), other.client()][n % 2], &format!("/new{n}")).await;
    }
    done(&db).await;
    let paths: Vec<_> = upstream.asked().into_iter().map(|(_, path)| path).collect();
    let (old, new) = paths.split_at(5);
    assert!(old.iter().all(|path| path.starts_with("/old")), "{paths:?}");
    assert!(new.iter().all(|path| path.starts_with("/new")), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_stops_both_nodes_with_and_without_a_limit() {
    for limits in ["", "[rate_limits]\n\"destination/upstream/rig\" = { rate = \"200/s\", burst = 200 }\n"] {
        let (db, upstream) = (Db::new().await, Upstream::start().await);
        let first = Host::start(&db, None, upstream.options(limits)).await;
        let other = Host::start(&db, None, second(upstream.options(limits))).await;
        let clients = [first.client(), other.client()];
        let ask = async |name: &str, count: usize| {
            for n in 0..count {
                call(&clients[n % 2], &format!("/{name}{n}")).await;
            }
        };
        ask("warm", 40).await;
        done(&db).await;
        upstream.busy.store(1, Ordering::Relaxed);
        call(&first.client(), "/refused").await;
        let refused = eventually("it is refused", async || {
            upstream.asked().into_iter().find(|(_, path)| path == "/refused").map(|(at, _)| at)
        })
        .await;
        // Both nodes have work all along; a second later they know.
        let (knows, until) = (refused + 1.0, refused + RETRY_AFTER.as_secs_f64());
        let mut held = 0;
        while upstream.began.elapsed().as_secs_f64() < until - 0.5 {
            ask("held", 2).await;
            held += 2;
        }
        done(&db).await;
        let early: Vec<_> = upstream.asked().into_iter().filter(|(at, _)| *at > knows && *at < until - 0.1).collect();
        assert!(early.is_empty(), "{limits:?}: refused at {refused}, and then {early:?}");
        assert_eq!(upstream.asked().len(), 40 + 2 + held, "the refused one twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_changes_at_run_time_binds_both_nodes_within_two_seconds() {
    let (db, upstream) = (Db::new().await, Upstream::start().await);
    // With the product's heartbeat: it is not what they hear it by.
    let slow = |options| HostOptions { cluster: Some(String::new()), ..options };
    let first = Host::start(&db, None, slow(upstream.options(""))).await;
    let other = Host::start(&db, None, slow(second(upstream.options("")))).await;
    let clients = [first.client(), other.client()];
    let ask = async |count: usize| {
        for n in 0..count {
            call(&clients[n % 2], "/").await;
        }
    };
    ask(20).await;
    done(&db).await;
    assert_eq!(db.count("SELECT count(*) FROM rate_buckets").await, 0, "no limit, no question");
    let bucket = "destination/upstream/rig";
    assert_eq!(put(&first.admin(), bucket, json!({"rate": "4/s", "burst": 2})).await.0, 200);
    heard(&[&first, &other], 1).await;
    let from = upstream.began.elapsed().as_secs_f64();
    ask(30).await;
    let passed = eventually("some have passed", async || {
        let passed = upstream.asked().iter().filter(|(at, _)| *at > from).count() as f64;
        (passed >= 6.0).then_some(passed)
    })
    .await;
    let most = 4.0 * (upstream.began.elapsed().as_secs_f64() - from) + 2.0;
    assert!(passed <= most, "{passed} of {most}");
    // Taken away: newcomers pass at once, while the others still wait for their time.
    assert_eq!(put(&other.admin(), bucket, json!({"rate": null})).await.0, 200);
    heard(&[&first, &other], 2).await;
    let id = call(&first.client(), "/free").await;
    let job = within(Duration::from_secs(20), "it passes", async || {
        let job = first.client().job(&id).await;
        (job["state"] == "completed").then_some(job)
    })
    .await;
    assert_eq!(job["errors"].as_array().map_or(0, Vec::len), 0, "it never waited: {job}");
    done(&db).await;
}

/// So many changes of limits, each within the two seconds that are promised.
async fn heard(hosts: &[&Host], changes: usize) {
    for host in hosts {
        within(Duration::from_secs(2), "the node hears of it", async || {
            (host.log().matches("other rate limits hold from now on").count() >= changes).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_bucket_is_asked_seldom_and_one_without_a_limit_never() {
    let (db, upstream) = (Db::new().await, Upstream::start().await);
    let limits = "[rate_limits]\n\"destination/upstream/rig\" = { rate = \"1000/s\", burst = 1000 }\n";
    let host = Host::start(&db, None, upstream.options(limits)).await;
    let submits = (0..8).map(|_| {
        let client = host.client();
        tokio::spawn(async move {
            for _ in 0..50 {
                call(&client, "/").await;
            }
        })
    });
    for submit in submits.collect::<Vec<_>>() {
        submit.await.unwrap();
    }
    done(&db).await;
    assert_eq!(upstream.asked().len(), 400);
    assert_eq!(
        db.text("SELECT string_agg(bucket, ' ') FROM rate_buckets").await.as_deref(),
        Some("destination/upstream/rig")
    );
    // One change of the row a statement. A session has told all that it counted when it is gone.
    assert_eq!(host.terminate().await, Some(0));
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'usher'";
    eventually("its sessions are gone", async || (db.count(sessions).await == 0).then_some(())).await;
    let asked = db.count("SELECT pg_stat_get_tuples_updated('rate_buckets'::regclass)").await;
    assert!((1..200).contains(&asked), "{asked} statements for 400 calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_node_that_dies_hold_nobody_up() {
    let (db, upstream) = (Db::new().await, Upstream::start().await);
    let limits = "[rate_limits]\n\"destination/upstream/rig\" = { rate = \"40/s\", burst = 40 }\n";
    let mut first = Host::start(&db, None, upstream.options(limits)).await;
    let other = Host::start(&db, None, second(upstream.options(limits))).await;
    for n in 0..120 {
        call(&first.client(), &format!("/{n}")).await;
    }
    eventually("some passed", async || (upstream.asked().len() > 50).then_some(())).await;
    first.kill9();
    let id = call(&other.client(), "/after").await;
    other.client().wait(&id, "completed").await;
    done(&db).await;
    // Reads are asked again where the answer was lost.
    assert!(upstream.asked().len() >= 121);
}
