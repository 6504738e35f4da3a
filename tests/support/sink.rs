use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::{env, eventually, scratch};

/// The SMTP password of all test hosts.
pub const PASSWORD: &str = "smtp-password-of-the-tests";

/// A real SMTP server, steered from the side.
pub struct Sink {
    child: Child,
    pub port: u16,
    /// TLS from the first byte.
    pub tls_port: u16,
    pub ca: PathBuf,
    control: String,
    http: reqwest::Client,
}

impl Sink {
    pub async fn start() -> Self {
        Self::with_password(PASSWORD).await
    }

    pub async fn with_password(password: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = scratch("sink");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/smtp_sink.py");
        let mut child = Command::new(env("USHER_TEST_PYTHON"))
            .arg(script)
            .arg(&folder)
            .env("SMTP_PASSWORD", password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).unwrap();
            line
        });
        let line = line.await.unwrap();
        let ports: Vec<_> = line.split_whitespace().collect();
        let [port, control, tls_port] = ports.as_slice() else { panic!("the sink did not say its ports: {line}") };
        Self {
            child,
            port: port.parse().unwrap(),
            tls_port: tls_port.parse().unwrap(),
            ca: folder.join("ca.pem"),
            control: format!("http://127.0.0.1:{control}"),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.http.get(format!("{}{path}", self.control)).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn steer(&self, path: &str, body: Value) {
        self.http.post(format!("{}{path}", self.control)).body(body.to_string()).send().await.unwrap();
    }

    pub async fn mails(&self) -> Vec<Value> {
        self.get("/mails").await.as_array().unwrap().clone()
    }

    /// `connects`: EHLOs so far, two a connection with STARTTLS; `mails_begun`: MAIL commands; `held_…`: replies.
    pub async fn state(&self) -> Value {
        self.get("/state").await
    }

    pub async fn greetings(&self) -> u64 {
        self.state().await["connects"].as_u64().unwrap()
    }

    pub async fn wait_mails(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} mails came"), async || {
            Some(self.mails().await).filter(|mails| mails.len() >= count)
        })
        .await
    }

    /// Faults that acted, as `fault` and the `id` of their mail.
    pub async fn met(&self) -> Vec<Value> {
        self.get("/met").await.as_array().unwrap().clone()
    }

    pub async fn faults(&self, faults: &[&str]) {
        self.steer("/faults", faults.into()).await;
    }

    /// What is said to the next command of a kind: `greet`, `ehlo`, `starttls`, `auth`, `mail`, `rcpt`, `data`, `quit`. A reply,
    /// `cut`, or `hold`.
    pub async fn say(&self, at: &str, say: &str) {
        self.steer("/replies", json!([{"at": at, "say": say}])).await;
    }

    /// To everybody, until `say_nothing_more`.
    pub async fn say_always(&self, at: &str, say: &str) {
        self.steer("/replies", json!([{"at": at, "say": say, "times": 1_000_000}])).await;
    }

    /// To the next RCPT for this address.
    pub async fn say_of(&self, to: &str, say: &str) {
        self.steer("/replies", json!([{"at": "rcpt", "to": to, "say": say}])).await;
    }

    pub async fn say_nothing_more(&self) {
        self.steer("/replies", Value::Null).await;
    }

    /// Waits until a mail is kept and its reply held, or another reply is.
    pub async fn wait_held(&self) {
        eventually("a reply is held", async || {
            let state = self.state().await;
            (state["held_data"] != 0 || state["held_replies"] != 0).then_some(())
        })
        .await;
    }

    pub async fn release(&self) {
        self.steer("/release", Value::Null).await;
    }

    pub async fn stop(&self) {
        self.steer("/stop", Value::Null).await;
    }

    /// On the same port.
    pub async fn start_again(&self) {
        self.steer("/start", Value::Null).await;
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Message-ID of a mail.
pub fn message_id(mail: &Value) -> &str {
    mail["headers"]["Message-ID"].as_str().unwrap()
}
