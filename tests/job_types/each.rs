//! What is true of each of the ten.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Rig;
use crate::{
    support::{HostOptions, product::TYPES},
    webhooks,
};

fn numbered() -> impl Iterator<Item = (&'static str, u32)> {
    TYPES.into_iter().map(|(job_type, _)| job_type).zip(1..)
}

const DOCS: &str = include_str!("../../docs/job-types.md");
const HOUR_MS: i64 = 3_600_000;

/// Each type's key as docs/job-types.md promises it, and how many hours it holds after the job's end.
const PROMISED: [(&str, &str, i64); 10] = [
    ("payment-process", "`payment-{venueId}-{userId}-{eventId}-{amount}`, 24 h", 24),
    ("refund-process", "`refund-{transactionId}`, 24 h, beside the caller's", 24),
    ("payout-process", "`payout-{venueId}-{period or payoutId}`, 24 h, beside the caller's", 24),
    ("nft-mint", "`nft-{eventId}-{seatId or ticketId}`, 1 year, beside the caller's", 365 * 24),
    ("send-email", "`email-{template or subject}-{to}-{UTC date}`, 24 h", 24),
    ("send-sms", "`sms-{to}-{template or message}-{UTC hour}`, 1 h", 1),
    ("send-push", "the payload, 24 h", 24),
    ("analytics-track", "none: what happens twice is two events", 0),
    ("cleanup-old-data", "the payload, 24 h", 24),
    ("generate-report", "the payload, 24 h", 24),
];

fn this_hour() -> String {
    chrono::Utc::now().format("%Y-%m-%dT%H").to_string()
}

/// The key of a payload of `Product::payload` that was submitted in this hour; `None`: it is made of the whole payload.
fn key(job_type: &str, payload: &Value, hour: &str) -> Option<String> {
    let text = |field: &str| payload[field].as_str().unwrap();
    let (day, _) = hour.split_once('T').unwrap();
    match job_type {
        "payment-process" => Some("payment-v1-u1-event-1-5000".to_owned()),
        "refund-process" => Some(format!("refund-{}", text("transactionId"))),
        "payout-process" => Some("payout-v1-2026-03".to_owned()),
        "nft-mint" => Some("nft-jazz-4A".to_owned()),
        "send-email" => Some(format!("email-Doors 5-guest-5@example.com-{day}")),
        "send-sms" => Some(format!("sms-+4915112340006-verification-code-{hour}")),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_job_of_each_type() {
    let rig = Rig::start_with("", |options| HostOptions { concurrency: 0, ..options }).await;
    let client = rig.host.client();
    for ((job_type, n), (promised_of, template, ttl)) in numbered().zip(PROMISED) {
        assert_eq!(job_type, promised_of);
        let row = DOCS.lines().find(|line| line.starts_with(&format!("| `{job_type}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/job-types.md has no row of {job_type}"));
        assert_eq!(row.split('|').nth(4).map(str::trim), Some(template), "{job_type}");

        let payload = rig.product.payload(job_type, n).await;
        let hour = this_hour();
        let first = client.submit(job_type, payload.clone()).await;
        let again = client.submit(job_type, payload.clone()).await;
        if job_type == "analytics-track" {
            assert_ne!(first, again, "an event that happened twice is two");
            let keyless = "SELECT count(*) FROM jobs \
                           WHERE job_type = 'analytics-track' AND idempotency_key IS NULL AND key_ttl_ms IS NULL";
            assert_eq!(rig.db.count(keyless).await, 2);
            continue;
        }
        assert_eq!(first, again, "{job_type}");
        let other = client.submit(job_type, rig.product.payload(job_type, n + 10).await).await;
        assert_ne!(first, other, "{job_type}");

        let told = client.job(&first).await["idempotencyKey"].as_str().unwrap().to_owned();
        match key(job_type, &payload, &hour) {
            // An hour that ends just now is no reason to fail.
            Some(key) if hour == this_hour() => assert_eq!(told, key),
            Some(_) => {}
            None => {
                let digits = told.strip_prefix("payload-").unwrap_or_else(|| panic!("{job_type}: {told}"));
                assert!(digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{job_type}: {told}");
            }
        }
        let held = format!("SELECT key_ttl_ms FROM jobs WHERE id = '{first}'");
        assert_eq!(rig.db.count(&held).await, ttl * HOUR_MS, "{job_type}");

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
