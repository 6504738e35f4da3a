use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{PATIENCE, eventually};

/// The HS256 secret of all test hosts.
pub const SECRET: &str = "the secret of the integration tests, long enough";

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token as the test hosts take it. No tenant: an admin's.
pub fn token(role: &str, tenant: Option<&str>) -> String {
    forged_token(
        json!({"userId": "u1", "role": role, "tenantId": tenant, "exp": seconds() + 3600}),
        Algorithm::HS256,
        SECRET.as_bytes(),
    )
}

/// Whatever claims, HMAC algorithm and key.
pub fn forged_token(claims: Value, algorithm: Algorithm, key: &[u8]) -> String {
    encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(key)).unwrap()
}

/// Speaks to one host in one caller's name.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Client {
    pub fn new(base: &str, token: String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { http, base: base.to_owned(), token }
    }

    /// The same connections, another caller.
    pub fn with_token(&self, token: String) -> Self {
        Self { token, ..self.clone() }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        read(self.request(Method::GET, path).send().await.unwrap()).await
    }

    /// A body, verbatim.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Answer {
        self.post_with(body, &[]).await
    }

    pub async fn post_with(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.request(Method::POST, "/jobs").header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send().await.unwrap()).await
    }

    /// Any method and path; a body goes as JSON.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        read(request.send().await.unwrap()).await
    }

    /// Submits and expects 202; the job's id.
    pub async fn submit(&self, job_type: &str, payload: Value) -> String {
        let answer = self.post(json!({"type": job_type, "payload": payload}).to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// As a careful caller does: under the same key, until it is taken.
    pub async fn submit_surely(&self, body: &str, key: &str) -> String {
        let began = Instant::now();
        loop {
            let answer = self.post_with(body.to_owned(), &[("idempotency-key", key)]).await;
            if answer.status.is_success() {
                return answer.body["id"].as_str().unwrap().to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "{key} is not taken: {}", answer.body);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    pub async fn job(&self, id: &str) -> Value {
        let answer = self.get(&format!("/jobs/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    /// Waits until the job is in that state. Who asks while the database is away is told to come again, and does.
    pub async fn wait(&self, id: &str, state: &str) -> Value {
        eventually(&format!("job {id} is {state}"), async || {
            let answer = self.get(&format!("/jobs/{id}")).await;
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                return None;
            }
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
            (answer.body["state"] == state).then_some(answer.body)
        })
        .await
    }

    /// Waits until the job has an error of that kind.
    pub async fn wait_error(&self, id: &str, kind: &str) -> Value {
        eventually(&format!("job {id} has the error {kind}"), async || {
            let job = self.job(id).await;
            let errors = job["errors"].as_array().cloned().unwrap_or_default();
            errors.into_iter().find(|error| error["kind"] == kind)
        })
        .await
    }
}

pub async fn read(response: Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let body =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()));
    Answer { status, headers, body }
}
