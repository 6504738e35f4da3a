//! Services that sign their requests (RFC 9421): what is taken and what is not, what a key may do, and how long it lives.

mod lifecycle;
mod scopes;
mod signatures;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Answer, Host, HostOptions, PATIENCE, env, eventually, read, stripe::script};

/// The same on all nodes.
const HOST_KEY: &str = "the host key of all service keys of these tests";

/// Jobs are taken, and stay where they are.
pub fn options() -> HostOptions {
    HostOptions {
        config: "[auth.services]\nkey = { env = \"USHER_TEST_SERVICES\" }\noverlap = \"1h\"\n".to_owned(),
        env: vec![("USHER_TEST_SERVICES", HOST_KEY.to_owned())],
        concurrency: 0,
        ..HostOptions::default()
    }
}

/// Another node of the same database.
pub fn second() -> HostOptions {
    HostOptions { plugins: Vec::new(), ..options() }
}

#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

impl Key {
    pub async fn new(host: &Host, role: &str, tenants: Value, types: Value) -> Self {
        let body = json!({"name": "the shop", "role": role, "tenants": tenants, "jobTypes": types});
        let answer = host.admin().send(Method::POST, "/keys", Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        Self { id: text(&answer.body, "id"), secret: text(&answer.body, "secret") }
    }

    /// Signed by npm's `http-message-signatures`.
    pub fn sign(&self, requests: &[Value]) -> Vec<Value> {
        let library = Path::new(&env("USHER_TEST_PEERS")).join("node_modules/http-message-signatures");
        let mut node = Command::new("node");
        node.arg(script("sign_requests.mjs")).arg(library);
        self.run(node, requests)
    }

    /// Signed by PyPI's.
    pub fn sign_by_pypi(&self, requests: &[Value]) -> Vec<Value> {
        let mut python = Command::new(env("USHER_TEST_PYTHON"));
        python.arg(script("sign_requests.py"));
        self.run(python, requests)
    }

    fn run(&self, mut signer: Command, requests: &[Value]) -> Vec<Value> {
        let mut child = signer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = json!({"keyId": self.id, "key": self.secret, "requests": requests}).to_string();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let mut signed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(signed.len(), requests.len());
        for one in &mut signed {
            let headers = one["headers"].as_object().unwrap();
            let lower: Map<_, _> = headers.iter().map(|(k, v)| (k.to_ascii_lowercase(), v.clone())).collect();
            one["headers"] = lower.into();
        }
        signed
    }

    /// Signs and sends.
    pub async fn call(&self, request: Value) -> Answer {
        send(&self.sign(&[request])[0]).await
    }

    /// Signs and sends all, one after the other.
    pub async fn call_all(&self, requests: &[Value]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for signed in self.sign(requests) {
            answers.push(send(&signed).await);
        }
        answers
    }

    /// Waits until this host lets it in, or does so no more.
    pub async fn wait(&self, host: &Host, status: StatusCode) {
        eventually(&format!("a key is answered with {status}"), async || {
            let answer = self.call(get(host, "/jobs?limit=1", &[("x-tenant-id", "t1")])).await;
            (answer.status == status).then_some(())
        })
        .await;
    }
}

pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}")).to_owned()
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn digest(body: &str) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// To be signed over all that must be, now, with a nonce of its own.
pub fn request(host: &Host, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Value {
    let mut all: Map<_, _> = headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    if !body.is_empty() {
        all.insert("content-type".to_owned(), "application/json".into());
        all.insert("content-digest".to_owned(), digest(body).into());
    }
    let names = all.keys().map(String::as_str).filter(|name| *name != "host");
    let components: Vec<_> = ["@method", "@authority", "@path", "@query"].into_iter().chain(names).collect();
    let sign = json!({"components": components, "created": now(), "nonce": uuid::Uuid::new_v4()});
    json!({"method": method, "url": format!("{}{path}", host.base), "headers": all, "body": body, "sign": sign})
}

pub fn get(host: &Host, path: &str, headers: &[(&str, &str)]) -> Value {
    request(host, "GET", path, headers, "")
}

/// A job of this type, told from others by `echo`; `more` goes into the body.
pub fn submit(host: &Host, job_type: &str, headers: &[(&str, &str)], more: Value) -> Value {
    request(host, "POST", "/jobs", headers, &job(job_type, more).to_string())
}

pub fn job(job_type: &str, more: Value) -> Value {
    let mut job = json!({"type": job_type, "payload": {"do": "ok", "echo": uuid::Uuid::new_v4()}});
    job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    job
}

/// As it stands there.
pub async fn send(signed: &Value) -> Answer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let method = Method::from_bytes(text(signed, "method").as_bytes()).unwrap();
    let mut request = http.request(method, text(signed, "url"));
    for (name, value) in signed["headers"].as_object().unwrap() {
        let lines = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for line in lines {
            request = request.header(name, line.as_str().unwrap());
        }
    }
    let body = text(signed, "body");
    if !body.is_empty() {
        request = request.body(body);
    }
    read(request.send().await.unwrap()).await
}

/// The same request, sent to another node as if it were this one.
pub fn elsewhere(signed: &Value, one: &Host, other: &Host) -> Value {
    let mut sent = signed.clone();
    sent["url"] = text(signed, "url").replace(&one.base, &other.base).into();
    sent["headers"]["host"] = one.base.trim_start_matches("http://").into();
    sent
}
