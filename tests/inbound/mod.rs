//! Events that Stripe sends: let in by its signature, taken once, and never believed about money.

mod doubt;
mod jobs;
mod signatures;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Answer, Host, HostOptions, read, stripe::KEY};

/// Of the endpoint, now and after it was rolled; and of another account's.
pub const SECRET: &str = "whsec_canary_of_the_integration_tests";
pub const NEXT: &str = "whsec_canary_of_the_next_months";
pub const OTHER: &str = "whsec_canary_of_another_account";

/// A profile of tenant t1 at this base URL, whose events are taken.
pub fn options(base: &str, more: &str) -> HostOptions {
    let profile = format!(
        r#"
[stripe.profiles.main]
key = {{ env = "USHER_TEST_STRIPE" }}
tenants = ["t1"]
base_url = "{base}"
timeout = "5s"
webhook_secrets = [{{ env = "USHER_TEST_WHSEC" }}, {{ env = "USHER_TEST_WHSEC_NEXT" }}]
"#
    );
    with_config(profile + more)
}

pub fn with_config(config: String) -> HostOptions {
    let env = [
        ("USHER_TEST_STRIPE", KEY),
        ("USHER_TEST_STRIPE_OTHER", "sk_test_of_another_account"),
        ("USHER_TEST_WHSEC", SECRET),
        ("USHER_TEST_WHSEC_NEXT", NEXT),
        ("USHER_TEST_WHSEC_OTHER", OTHER),
    ];
    HostOptions {
        plugins: vec!["guest-money.wasm", "guest-inbound.wasm"],
        config,
        env: env.map(|(name, value)| (name, value.to_owned())).to_vec(),
        ..HostOptions::default()
    }
}

pub fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// As Stripe does, over these bytes: hex digits.
pub fn sign(secret: &str, at: i64, body: &[u8]) -> String {
    let message = [format!("{at}.").as_bytes(), body].concat();
    let key = EncodingKey::from_secret(secret.as_bytes());
    let mac = jsonwebtoken::crypto::sign(&message, &key, Algorithm::HS256).unwrap();
    URL_SAFE_NO_PAD.decode(mac).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn header(secret: &str, at: i64, body: &[u8]) -> String {
    format!("t={at},v1={}", sign(secret, at, body))
}

/// An event as Stripe writes it.
pub fn event(kind: &str, object: Value) -> Value {
    json!({
        "id": format!("evt_{}", uuid::Uuid::new_v4().simple()), "object": "event", "api_version": "2026-08-26.dahlia",
        "created": now(), "livemode": false, "pending_webhooks": 1, "type": kind,
        "request": {"id": null, "idempotency_key": null}, "data": {"object": object},
    })
}

/// Sends it, with a header `Stripe-Signature` of each of these values, and without a token.
pub async fn send(host: &Host, signatures: &[String], body: impl Into<Vec<u8>>) -> Answer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().timeout(crate::support::PATIENCE).build().unwrap();
    let mut request = http.post(format!("{}/webhooks/stripe", host.base));
    request = request.header("content-type", "application/json; charset=utf-8");
    for signature in signatures {
        request = request.header("stripe-signature", signature);
    }
    read(request.body(body.into()).send().await.unwrap()).await
}

/// The same, signed at this moment.
pub async fn tell(host: &Host, secret: &str, event: &Value) -> Answer {
    let body = event.to_string();
    send(host, &[header(secret, now(), body.as_bytes())], body).await
}

/// And it is taken, for the first time or again; the jobs that were made of it.
pub async fn told(host: &Host, secret: &str, event: &Value, replayed: bool) -> Vec<String> {
    let answer = tell(host, secret, event).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!((&answer.body["id"], &answer.body["replayed"]), (&event["id"], &json!(replayed)), "{}", answer.body);
    let jobs = answer.body["jobs"].as_array().unwrap();
    jobs.iter().map(|job| job.as_str().unwrap().to_owned()).collect()
}

/// The last part of a problem's `type`.
pub fn slug(answer: &Answer) -> &str {
    answer.body["type"].as_str().and_then(|kind| kind.strip_prefix("urn:usher:problem:")).unwrap_or_default()
}
