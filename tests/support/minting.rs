//! The minting service, as others play it: it takes requests that PyPI's verifier finds signed, and acts once under a key.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    PATIENCE, env,
    stripe::{Server, script},
};

pub const KEY_ID: &str = "usher-of-the-tests";
pub const KEY: &str = "the shared key of usher and the minting service";

pub struct MintingService {
    pub base: String,
    http: reqwest::Client,
    _server: Server,
}

impl MintingService {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut python = Command::new(env("USHER_TEST_PYTHON"));
        python.arg(script("minting_service.py")).args([KEY_ID, KEY]);
        let server = Server::start(python, "minting_service.py").await;
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { base: format!("http://127.0.0.1:{}", server.port), http, _server: server }
    }

    /// What it did: objects of ticket, tenant and asset.
    pub async fn mints(&self) -> Vec<Value> {
        self.told("mints").await
    }

    /// The signed requests that came, and what it said to each: method, url, headers, body, status.
    pub async fn seen(&self) -> Vec<Value> {
        self.told("seen").await
    }

    async fn told(&self, what: &str) -> Vec<Value> {
        let answer = self.http.get(format!("{}/_told", self.base)).send().await.unwrap();
        let told: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        told[what].as_array().unwrap().clone()
    }

    /// Sends what was seen once more, changed or not; the status.
    pub async fn send(&self, seen: &Value) -> u16 {
        let method = reqwest::Method::from_bytes(text(seen, "method").as_bytes()).unwrap();
        let url = reqwest::Url::parse(text(seen, "url")).unwrap();
        let mut request = self.http.request(method, format!("{}{}", self.base, url.path()));
        for (name, value) in seen["headers"].as_object().unwrap() {
            if !["host", "content-length", "x-forwarded-host"].contains(&name.to_ascii_lowercase().as_str()) {
                request = request.header(name, value.as_str().unwrap());
            }
        }
        let authority = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let request = request.header("x-forwarded-host", authority).body(text(seen, "body").to_owned());
        request.send().await.unwrap().status().as_u16()
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// What npm's `http-message-signatures` says of requests in the shape of `MintingService::seen`.
pub fn by_npm(requests: &[Value]) -> Vec<bool> {
    let library = Path::new(&env("USHER_TEST_PEERS")).join("node_modules/http-message-signatures");
    let mut node = Command::new("node");
    node.arg(script("http_signatures.mjs")).arg(library).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = node.spawn().unwrap();
    let input = json!({"keyId": KEY_ID, "key": KEY, "requests": requests}).to_string();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said.len(), requests.len());
    said.iter()
        .map(|one| {
            assert!(one == "good" || one.starts_with("bad"), "{one}");
            one == "good"
        })
        .collect()
}
