//! One plugin in Rust, TypeScript and Python (`tests/guests/orders`): the same behaviour from each, and the same walls around it.

mod behaviour;
mod costs;
mod crash;
mod crowd;
mod sandbox;
mod shop;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use self::shop::Shop;
use crate::support::{Db, FaultProxy, Host, HostOptions, Sink, component, place, within};

/// Two attempts are enough to see both.
const QUEUES: &str = r#"
[queues.communication]
tier = 2
retries = 1
delay = "100ms"
backoff = "fixed"
expiry = "12h"
[queues.money]
tier = 1
retries = 1
delay = "100ms"
backoff = "fixed"
expiry = "24h"
[queues.background]
tier = 3
retries = 1
delay = "100ms"
backoff = "fixed"
expiry = "6h"
"#;

/// As the job types end.
pub const LANGUAGES: [&str; 3] = ["rust", "ts", "py"];

/// The host's, when all three are there.
pub fn options(shop: &str) -> HostOptions {
    let config = format!(
        "[upstreams.rig]\nbase_url = \"{shop}\"\nmethods = [\"GET\", \"POST\"]\nidempotent = true\ntimeout = \"5s\"\n"
    );
    let policy = LANGUAGES.map(|language| {
        format!(
            "[plugins.policy.order-{language}]\nemail = [\"default\"]\nupstream = [\"rig\"]\nwebhook = [\"order.confirmed\"]\n"
        )
    });
    HostOptions {
        plugins: vec!["order-rust.wasm", "order-ts.wasm", "order-py.wasm"],
        config,
        policy: Some(policy.concat()),
        queues: Some(QUEUES.to_owned()),
        ..HostOptions::default()
    }
}

pub struct Rig {
    pub db: Db,
    pub sink: Sink,
    pub proxy: FaultProxy,
    pub host: Host,
}

impl Rig {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With further configuration.
    pub async fn with(config: &str) -> Self {
        compiled().await;
        let (db, sink, shop) = (Db::new().await, Sink::start().await, Shop::start().await);
        let proxy = FaultProxy::start(&shop.base).await;
        let mut options = options(&proxy.base);
        options.config.push_str(config);
        let host = Host::start(&db, Some(&sink), options).await;
        Self { db, sink, proxy, host }
    }

    pub async fn submit(&self, language: &str, order: Value) -> String {
        self.host.client().submit(&format!("order-{language}"), order).await
    }

    /// How often the shop was asked so.
    pub fn asked(&self, request: &str) -> usize {
        let begins = |seen: &crate::support::http::Request| format!("{} {}", seen.method, seen.path) == request;
        self.proxy.seen().iter().filter(|seen| begins(&seen.request)).count()
    }
}

/// An order of that id. The shop knows all but `unknown`.
pub fn order(id: &str) -> Value {
    json!({"orderId": id, "email": "anna@example.com", "items": [{"sku": "a", "quantity": 2}]})
}

pub fn trouble(which: &str) -> Value {
    let mut order = order("o-1");
    order["trouble"] = which.into();
    order
}

/// Python takes a while to compile: once, into the cache that the hosts of these tests share.
async fn compiled() {
    static COMPILED: OnceCell<()> = OnceCell::const_new();
    let compile = async || {
        let db = Db::new().await;
        let options = options("http://127.0.0.1:1");
        let host = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..options.clone() }).await;
        for name in &options.plugins {
            place(&component(name), &host.plugins().join(name));
        }
        within(Duration::from_secs(300), "all three are compiled", async || {
            let plugins = host.client().get("/plugins").await.body;
            assert_eq!(plugins["refusals"], json!([]), "{plugins}");
            (db.count("SELECT count(*) FROM activations").await == 3).then_some(())
        })
        .await;
    };
    COMPILED.get_or_init(|| async { compile().await }).await;
}
