//! What is true of each of the ten.

use std::collections::BTreeSet;

use serde_json::json;

use super::Rig;
use crate::{
    support::{HostOptions, product::TYPES},
    webhooks,
};

fn numbered() -> impl Iterator<Item = (&'static str, u32)> {
    TYPES.into_iter().map(|(job_type, _)| job_type).zip(1..)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_job_of_each_type() {
    let rig = Rig::start_with("", |options| HostOptions { concurrency: 0, ..options }).await;
    let client = rig.host.client();
    for (job_type, n) in numbered() {
        let payload = rig.product.payload(job_type, n).await;
        let first = client.submit(job_type, payload.clone()).await;
        let again = client.submit(job_type, payload.clone()).await;
        if job_type == "analytics-track" {
            assert_ne!(first, again, "an event that happened twice is two");
            continue;
        }
        assert_eq!(first, again, "{job_type}");
        let other = client.submit(job_type, rig.product.payload(job_type, n + 10).await).await;
        assert_ne!(first, other, "{job_type}");

        let text = |field: &str| payload[field].as_str().unwrap().to_owned();
        let today = chrono::Utc::now().format("%Y-%m-%d");
        let key = match job_type {
            "payment-process" => Some("payment-v1-u1-event-1-5000".to_owned()),
            "refund-process" => Some(format!("refund-{}", text("transactionId"))),
            "payout-process" => Some("payout-v1-2026-03".to_owned()),
            "nft-mint" => Some("nft-jazz-4A".to_owned()),
            // A day that ends just now is no reason to fail.
            "send-email" => Some(format!("email-Doors 5-guest-5@example.com-{today}")),
            _ => None,
        };
        let told = client.job(&first).await["idempotencyKey"].as_str().unwrap().to_owned();
        if let Some(key) = key.filter(|_| today.to_string() == chrono::Utc::now().format("%Y-%m-%d").to_string()) {
            assert_eq!(told, key);
        }

        // A caller's own key comes first; for what must not happen twice whoever asks, both hold.
        let body = json!({"type": job_type, "payload": payload}).to_string();
        let by_key = client.post_with(body, &[("idempotency-key", "another-caller's")]).await;
        let holds_beside = matches!(job_type, "refund-process" | "payout-process" | "nft-mint");
        assert_eq!(by_key.body["id"] == first.as_str(), holds_beside, "{job_type}: {}", by_key.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_now_is_tried_again_and_done_once_by_each_type() {
    let rig = Rig::start().await;
    let Rig { product, host, .. } = &rig;
    let client = host.client();
    let mut jobs = Vec::new();
    for (job_type, n) in numbered() {
        let payload = product.payload(job_type, n).await;
        product.stumble(job_type, &payload).await;
        jobs.push((job_type, client.submit(job_type, payload.clone()).await, payload));
    }
    for (job_type, id, payload) in &jobs {
        let job = client.wait(id, "completed").await;
        assert!(job["attempt"].as_u64().unwrap() >= 2, "{job_type}: {job}");
        assert_eq!(job["errors"][0]["kind"], "effect-retry", "{job_type}: {job}");
        assert_eq!(product.done(job_type, id, payload).await, 1, "{job_type}: {job}");
    }
    product.services.no_complaints();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_refuses_ends_each_type_for_good_and_is_told() {
    let rig = Rig::start().await;
    let Rig { product, host, .. } = &rig;
    webhooks::endpoint(host, &product.receiver, &[]).await;
    let client = host.client();
    let mut jobs = Vec::new();
    for (job_type, n) in numbered() {
        let (payload, said) = product.refused(job_type, n).await;
        jobs.push((job_type, client.submit(job_type, payload).await, said));
    }
    for (job_type, id, said) in &jobs {
        let job = client.wait(id, "dead").await;
        assert_eq!((&job["reason"], &job["attempt"]), (&json!("permanent"), &json!(1)), "{job_type}: {job}");
        let error = job["errors"][0]["message"].as_str().unwrap();
        assert!(error.contains(said), "{job_type}: {error}");
    }
    let told = rig.wait_told("operation.failed", jobs.len()).await;
    let of = |field: &str| told.iter().map(|data| data[field].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(of("jobId"), jobs.iter().map(|(_, id, _)| id.clone()).collect::<BTreeSet<_>>());
    assert_eq!(of("jobType"), numbered().map(|(job_type, _)| job_type.to_owned()).collect::<BTreeSet<_>>());
    assert_eq!(product.receiver.received().len(), jobs.len(), "and nothing else is told");
    assert_eq!(rig.db.count("SELECT count(*) FROM jobs_archive").await, 10, "no child of a failed job");
}
