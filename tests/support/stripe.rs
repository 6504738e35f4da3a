//! Two providers that know Stripe's API and are not ours. Stripe World keeps Stripe's promises about `Idempotency-Key`,
//! declines and balances; localstripe ignores the key, so it shows a double that Stripe would hide. Neither has transfers.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Answer, PATIENCE, env, http::form, read, scratch};

/// Any test key is taken.
pub const KEY: &str = "sk_test_of_the_integration_tests";

/// A script of `tests/peers` that says its port, and ends when we do: its standard input is ours.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    pub async fn start(mut command: Command, script: &str) -> Self {
        let dir = scratch("peer");
        let mut child = command
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).unwrap();
            line
        });
        let line = tokio::time::timeout(PATIENCE, line).await.expect("a peer starts").unwrap();
        let Ok(port) = line.trim().parse() else {
            panic!("{script} did not say its port: {}", std::fs::read_to_string(dir.join("log")).unwrap_or_default());
        };
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of `tests/peers`.
pub fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// Speaks Stripe's API to one of them.
pub struct StripeClient {
    base: String,
    http: reqwest::Client,
}

impl StripeClient {
    pub fn new(base: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap();
        Self { base: base.to_owned(), http }
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_with(path, fields, &[]).await
    }

    pub async fn post_with(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        read(self.request(path, fields, headers).send().await.unwrap()).await
    }

    /// A POST that may not be answered.
    pub fn request(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut request = self.http.request(Method::POST, format!("{}{path}", self.base)).bearer_auth(KEY);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.header("content-type", "application/x-www-form-urlencoded").body(form(fields))
    }

    /// Creates, and expects that it is; the object.
    pub async fn create(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    pub async fn get(&self, path: &str) -> Answer {
        read(self.http.get(format!("{}{path}", self.base)).bearer_auth(KEY).send().await.unwrap()).await
    }

    /// All of a collection ("/v1/refunds"), page after page.
    pub async fn list(&self, collection: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map(|object| format!("&starting_after={}", object["id"].as_str().unwrap()));
            let answer = self.get(&format!("{collection}?limit=100{}", after.unwrap_or_default())).await;
            assert_eq!(answer.status, StatusCode::OK, "{collection}: {}", answer.body);
            all.extend(answer.body["data"].as_array().unwrap().iter().cloned());
            if answer.body["has_more"] != true {
                return all;
            }
        }
    }

    /// Those of a collection that carry this in their metadata.
    pub async fn with_metadata(&self, collection: &str, name: &str, value: &str) -> Vec<Value> {
        let mut all = self.list(collection).await;
        all.retain(|object| object["metadata"][name] == value);
        all
    }

    /// A customer's id.
    pub async fn customer(&self, email: &str) -> String {
        id(&self.create("/v1/customers", &[("email", email)]).await)
    }

    /// A card's payment method, by a test token of Stripe's: `tok_visa`, `tok_visa_chargeDeclined`, …
    pub async fn payment_method(&self, token: &str) -> String {
        id(&self.create("/v1/payment_methods", &[("type", "card"), ("card[token]", token)]).await)
    }

    /// Charges a good card, so that there is something to pay out.
    pub async fn balance(&self, amount: u64, currency: &str) {
        let (amount, card) = (amount.to_string(), self.payment_method("tok_visa").await);
        let fields =
            [("amount", amount.as_str()), ("currency", currency), ("payment_method", &card), ("confirm", "true")];
        let intent = self.create("/v1/payment_intents", &fields).await;
        assert_eq!(intent["status"], "succeeded", "{intent}");
    }
}

/// An object's id.
pub fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_else(|| panic!("no id: {object}")).to_owned()
}

/// An account of its own in Stripe World. The process is shared by all tests of this binary: it takes seconds to start.
pub struct StripeWorld {
    pub stripe: StripeClient,
}

impl StripeWorld {
    pub async fn start() -> Self {
        // Statics are not dropped: it ends when its standard input does, which is when this process ends, however that is.
        static SHARED: OnceCell<Server> = OnceCell::const_new();
        let server = SHARED.get_or_init(|| {
            let mut node = Command::new("node");
            node.arg(script("stripe_world.mjs")).arg(env("USHER_TEST_PEERS"));
            Server::start(node, "stripe_world.mjs")
        });
        let port = server.await.port;
        let base = format!("http://127.0.0.1:{port}/worlds/{}", uuid::Uuid::new_v4().simple());
        let stripe = StripeClient::new(&base);
        let made = stripe.http.put(&base).send().await.unwrap();
        assert!(made.status().is_success(), "{}", made.status());
        Self { stripe }
    }

    /// What `https://api.stripe.com` is otherwise.
    pub fn base_url(&self) -> &str {
        &self.stripe.base
    }
}

/// A localstripe of its own: it has one account.
pub struct LocalStripe {
    pub stripe: StripeClient,
    _server: Server,
}

impl LocalStripe {
    pub async fn start() -> Self {
        let mut python = Command::new(env("USHER_TEST_PYTHON"));
        python.arg(script("run_localstripe.py"));
        let server = Server::start(python, "run_localstripe.py").await;
        let base = format!("http://127.0.0.1:{}", server.port);
        Self { stripe: StripeClient::new(&base), _server: server }
    }

    pub fn base_url(&self) -> &str {
        &self.stripe.base
    }
}
