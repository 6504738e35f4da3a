//! Where a service account buys access tokens: PyPI's google-auth judges each assertion.

use std::process::Command;

use serde_json::{Value, json};

use super::{
    PATIENCE, env,
    stripe::{Server, script},
};

pub struct TokenService {
    pub base: String,
    http: reqwest::Client,
    _server: Server,
}

impl TokenService {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut python = Command::new(env("USHER_TEST_PYTHON"));
        python.arg(script("token_service.py"));
        let server = Server::start(python, "token_service.py").await;
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { base: format!("http://127.0.0.1:{}", server.port), http, _server: server }
    }

    /// The key file of its one account, for an exchange at this place (its own, or a proxy's before it).
    pub async fn account(&self, base: &str) -> Value {
        self.get(&format!("/_account?token_uri={base}/token")).await
    }

    /// How long the next tokens live, in seconds.
    pub async fn expires_in(&self, seconds: u64) {
        let body = json!({ "expiresIn": seconds }).to_string();
        assert!(self.http.post(format!("{}/_say", self.base)).body(body).send().await.unwrap().status().is_success());
    }

    /// `sold` tokens, the `claims` they were sold for, and why others were `refused`.
    pub async fn told(&self, what: &str) -> Vec<Value> {
        self.get("/_told").await[what].as_array().unwrap().clone()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}
