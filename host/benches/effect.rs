//! `effect peer DELAY_MS` is a provider on loopback that answers after that long; it says where, and ends with its stdin.
//! `effect bare URL CALLS IN_FLIGHT` makes the calls of the guest `bench-effect` without a host around them.

use std::{
    env,
    io::Read,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

fn main() -> ExitCode {
    // `cargo bench` adds --bench.
    let args: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let done = runtime.map_err(|e| e.to_string()).and_then(|runtime| match args.as_slice() {
        ["peer", delay] => runtime.block_on(serve(Duration::from_millis(number(delay)?))),
        ["bare", url, calls, in_flight] => runtime.block_on(bare(url, number(calls)?, number(in_flight)?)),
        _ => Err("peer DELAY_MS, or bare URL CALLS IN_FLIGHT".to_owned()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("effect: {message}");
            ExitCode::FAILURE
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

async fn serve(delay: Duration) -> Result<(), String> {
    let answer = move |Json(_): Json<Value>| async move {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        Json(json!({"status": "succeeded"}))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    println!("http://{}", listener.local_addr().map_err(|e| e.to_string())?);
    let gone = async {
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    };
    tokio::select! {
        ended = axum::serve(listener, Router::new().route("/charges", post(answer))) => ended.map_err(|e| e.to_string()),
        () = gone => Ok(()),
    }
}

/// As the host's own client is made: no proxy, no redirect, no retry.
async fn bare(url: &str, calls: usize, in_flight: usize) -> Result<(), String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(in_flight)
        .build()
        .map_err(|e| e.to_string())?;
    let url = format!("{url}/charges");
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
        callers.spawn(async move {
            let mut took = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= calls {
                    return Ok::<_, String>(took);
                }
                let id = uuid::Uuid::now_v7();
                let body = json!({"orderId": format!("{id}-{n:04}"), "amount": 12_900, "currency": "eur"});
                let began = Instant::now();
                let request = client.post(&url).header("content-type", "application/json");
                let request = request.header("Idempotency-Key", id.to_string()).body(body.to_string());
                let answer = request.send().await.and_then(reqwest::Response::error_for_status);
                answer.map_err(|e| e.to_string())?.bytes().await.map_err(|e| e.to_string())?;
                took.push(began.elapsed().as_secs_f64() * 1e3);
            }
        });
    }
    let mut took: Vec<f64> = Vec::with_capacity(calls);
    while let Some(done) = callers.join_next().await {
        took.extend(done.map_err(|e| e.to_string())??);
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
    println!(
        "{{\"per_second\": {:.1}, \"p50_ms\": {:.3}, \"p99_ms\": {:.3}}}",
        calls as f64 / seconds,
        at(0.5),
        at(0.99)
    );
    Ok(())
}
