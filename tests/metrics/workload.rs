use serde_json::json;
use tokio::sync::OnceCell;

use super::{Scrape, promtool, wait};
use crate::{
    support::{Db, Host, HostOptions, Receiver, Sink, eventually},
    webhooks,
};

/// What a host shows that has run this: 7 jobs that complete, 2 that fail for good, 1 that is tried again, one mail, one webhook.
pub async fn worked() -> &'static Scrape {
    static WORKED: OnceCell<Scrape> = OnceCell::const_new();
    WORKED.get_or_init(work).await
}

async fn work() -> Scrape {
    let (db, sink, receiver) = tokio::join!(Db::new(), Sink::start(), Receiver::start());
    let options = HostOptions {
        plugins: vec!["guest.wasm", "guest-effects.wasm", "guest-webhook.wasm"],
        config: webhooks::config(&[receiver.place()]),
        ..HostOptions::default()
    };
    let host = Host::start(&db, Some(&sink), options).await;
    webhooks::endpoint(&host, &receiver, &["guest.happened"]).await;
    let client = host.client();
    let mut ends = Vec::new();
    for _ in 0..7 {
        ends.push((client.submit("guest", json!({"do": "ok"})).await, "completed"));
    }
    for _ in 0..2 {
        ends.push((client.submit("guest", json!({"do": "permanent"})).await, "dead"));
    }
    ends.push((client.submit("guest", json!({"do": "retry", "until": 2})).await, "completed"));
    ends.push((client.submit("guest-mail", json!({"do": "mail", "to": "anna@example.com"})).await, "completed"));
    for (id, end) in &ends {
        client.wait(id, end).await;
    }
    webhooks::published(&host, "guest.happened", json!({"n": 1})).await;
    eventually("the webhook came", async || (receiver.received().len() == 1).then_some(())).await;
    // What is counted after its commit, or is sampled, may come a moment later.
    wait(&host, "everything is counted", |scrape| {
        let value = |series| scrape.value(series).unwrap_or_default();
        value("usher_commit_batch_items_sum{kind=\"settle\"}") == 13.0
            && value("usher_webhook_sends_total{outcome=\"delivered\"}") == 1.0
            && value("usher_jobs_running{queue=\"money\"}") == 0.0
            && scrape.families.contains_key("usher_queue_jobs")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_workload_is_counted_as_it_was() {
    let scrape = worked().await;
    let is = |series: &str, value: f64| assert_eq!(scrape.value(series), Some(value), "{series}");
    for (outcome, attempts) in [("completed", 8.0), ("dead", 2.0), ("retried", 1.0), ("snoozed", 0.0), ("parked", 0.0)]
    {
        is(&format!("usher_attempts_total{{outcome=\"{outcome}\",type=\"guest\"}}"), attempts);
    }
    is("usher_attempts_total{outcome=\"completed\",type=\"guest-mail\"}", 1.0);
    is("usher_attempt_duration_seconds_count{type=\"guest\"}", 11.0);
    is("usher_jobs_finished_total{queue=\"background\",state=\"completed\"}", 8.0);
    is("usher_jobs_finished_total{queue=\"background\",state=\"dead\"}", 2.0);
    is("usher_jobs_finished_total{queue=\"money\",state=\"completed\"}", 1.0);
    is("usher_settlements_lost_total", 0.0);
    is("usher_claim_batch_jobs_sum{queue=\"background\"}", 11.0);
    is("usher_queue_wait_seconds_count{queue=\"background\"}", 11.0);
    is("usher_queue_wait_seconds_count{queue=\"communication\"}", 1.0);
    is("usher_jobs_running{queue=\"background\"}", 0.0);
    is("usher_jobs_running_max", 32.0);
    let claims = scrape.value("usher_claim_duration_seconds_count{queue=\"background\"}").unwrap();
    assert!(claims >= 2.0, "{claims}: the second attempt is a claim of its own");
    is("usher_commit_batch_items_sum{kind=\"submit\"}", 12.0);
    is("usher_commit_batch_items_sum{kind=\"effect-start\"}", 1.0);
    is("usher_commit_batch_items_sum{kind=\"effect-end\"}", 1.0);

    is("usher_effect_duration_seconds_count{outcome=\"ok\",provider=\"email\"}", 1.0);
    is("usher_effect_duration_seconds_count{outcome=\"doubt\",provider=\"email\"}", 0.0);
    is("usher_effect_duration_seconds_count{outcome=\"ok\",provider=\"stripe\"}", 0.0);
    for (state, effects) in [("started", 1.0), ("ended", 1.0), ("deferred", 0.0), ("doubt", 0.0), ("refused", 0.0)] {
        is(&format!("usher_effects_total{{provider=\"email\",state=\"{state}\"}}"), effects);
    }
    is("usher_effects_in_flight{provider=\"email\"}", 0.0);
    is("usher_rate_limit_wait_seconds_count{provider=\"email\"}", 1.0);
    is("usher_rate_limit_deferred_total{provider=\"email\"}", 0.0);
    is("usher_webhook_sends_total{outcome=\"delivered\"}", 1.0);
    is("usher_webhook_sends_total{outcome=\"failed\"}", 0.0);
    is("usher_webhook_send_duration_seconds_count", 1.0);

    is("usher_http_requests_total{method=\"POST\",route=\"/jobs\",status=\"2xx\"}", 12.0);
    is("usher_http_requests_total{method=\"POST\",route=\"/webhook-endpoints\",status=\"2xx\"}", 1.0);
    is("usher_http_request_duration_seconds_count{method=\"POST\",route=\"/jobs\"}", 12.0);
    assert!(
        scrape.value("usher_http_requests_total{method=\"GET\",route=\"/jobs/{id}\",status=\"2xx\"}").unwrap() >= 12.0
    );
    is("usher_http_requests_in_flight", 1.0);
    for series in [
        "usher_guest_cpu_seconds_total{plugin=\"guest\"}",
        "usher_http_received_bytes_total",
        "usher_http_sent_bytes_total",
        "usher_runtime_workers{runtime=\"guest\"}",
        "usher_runtime_busy_seconds_total{runtime=\"host\"}",
        "usher_database_connections_max{pool=\"work\"}",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_threads",
    ] {
        assert!(scrape.value(series).unwrap() > 0.0, "{series}");
    }
    // A page at least, and no more than its type may have.
    let peak = scrape.value("usher_guest_memory_peak_bytes{plugin=\"guest\"}").unwrap();
    assert!((65_536.0..=256.0 * 1_048_576.0).contains(&peak), "{peak}");
    is("usher_guest_slots_in_use", 0.0);
    is("usher_guest_memory_in_use_bytes", 0.0);
    let room = ["usher_guest_slots", "usher_guest_memory_budget_bytes"].map(|series| scrape.value(series).unwrap());
    assert!(room.iter().all(|room| *room > 0.0), "{room:?}");
    is("usher_database_up", 1.0);
    is("usher_database_waiting{pool=\"journal\"}", 0.0);
    assert!(scrape.value("usher_heartbeat_age_seconds").unwrap().is_finite());
    is("usher_queue_oldest_ready_age_seconds{queue=\"background\"}", 0.0);
    is("usher_queue_jobs{queue=\"money\",state=\"parked\"}", 0.0);
    let build = scrape.beginning("usher_build_info{version=\"");
    assert_eq!(build.len(), 1, "{build:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_in_the_metrics_of_a_host_that_has_run_jobs() {
    let scrape = worked().await;
    assert_eq!(promtool(&["check", "metrics"], &scrape.text), (Some(0), String::new()));
    // It would say so.
    let (code, said) =
        promtool(&["check", "metrics"], &(scrape.text.clone() + "# TYPE usher_bad counter\nusher_bad 1\n"));
    assert!(code != Some(0) && said.contains("usher_bad"), "{code:?} {said}");
}
