//! PostgreSQL, the host, what stands in it, and how to speak to it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    Options,
    support::{
        Client, Db, Host, HostOptions, Receiver, SECRET, Say, component, forged_token, host, hostile::repacked_with,
        postgres::Postgres, read, scratch, twilio,
    },
};

/// Where nobody listens: what goes there is tried again later, and nothing is in doubt.
const NOWHERE: &str = "http://127.0.0.1:1";
/// Plugins whose jobs the host knows. The last one serves no job: what is done to plugins is done to it.
const PLUGINS: [&str; 11] = [
    "guest.wasm",
    "guest-effects.wasm",
    "payments.wasm",
    "refunds.wasm",
    "payouts.wasm",
    "notifications.wasm",
    "sms.wasm",
    "analytics-upstream.wasm",
    "cleanup.wasm",
    "reports.wasm",
    "order-rust.wasm",
];
/// That one, and the version beside its first one.
pub const VICTIM: &str = "order-rust";
pub const NEXT: &str = "0.1.1";
/// Effects in doubt, for people to resolve.
const PARKED: usize = 20;
/// Between two submits of the feed.
const PACE: Duration = Duration::from_millis(250);

pub struct Rig {
    pub options: Options,
    pub dir: PathBuf,
    began: Instant,
    pub db: Db,
    pub base: String,
    /// An admin who is of tenant t1.
    pub admin: Client,
    /// What stands in tenant t1.
    pub things: Things,
    /// Where effects get into doubt, and webhooks go.
    receiver: Receiver,
    postgres: Postgres,
    host: Mutex<Host>,
}

/// One of each, of tenant t1, by the names that paths give to them.
#[derive(Clone, Debug)]
pub struct Things {
    pub job: String,
    pub parked: String,
    pub endpoint: String,
    pub key: String,
    pub secret: String,
}

impl Rig {
    pub async fn start(options: Options) -> Self {
        let dir = scratch("fuzz");
        let postgres = Postgres::start(dir.join("postgres")).await;
        let db = Db::on(&postgres.url("postgres")).await;
        let receiver = Receiver::start().await;
        // After a 503 nobody knows whether the write was made.
        receiver.always(Say::Status(503));
        let mut settings = host_options(&receiver, "");
        settings.data_dir = Some(dir.join("host"));
        settings.env.extend(options.plant.map(|plant| ("USHER_PLANT", plant.to_owned())));
        let host = Host::start(&db, None, settings).await;
        let (base, admin) = (host.base.clone(), Client::new(&host.base, lasting("admin", Some("t1"))));
        let things = Things::make(&admin, &receiver).await;
        publish_next(&admin).await;
        // No rule counts here: what fails is meant to.
        let alerts = "INSERT INTO alerts (kind, subject, tenant, severity, message) \
                      SELECT 'test', n::text, 't1', 'warning', 'm' FROM generate_series(1, 400) n";
        db.execute(alerts).await;
        let (began, host) = (Instant::now(), Mutex::new(host));
        Self { options, dir, began, db, base, admin, things, receiver, postgres, host }
    }

    /// Another host on the same database, with this in its configuration.
    pub async fn another(&self, more: &str) -> Host {
        let settings = HostOptions { plugins: Vec::new(), ..host_options(&self.receiver, more) };
        Host::start(&self.db, None, settings).await
    }

    pub fn client(&self, role: &str, tenant: Option<&str>) -> Client {
        self.admin.with_token(lasting(role, tenant))
    }

    /// Where webhooks go.
    pub fn webhook(&self) -> String {
        webhook(&self.receiver)
    }

    fn with_host<T>(&self, what: impl FnOnce(&mut Host) -> T) -> T {
        what(&mut self.host.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn is_alive(&self) -> bool {
        self.with_host(Host::is_alive)
    }

    pub fn log(&self) -> String {
        self.with_host(|host| host.log())
    }

    /// The most that the host ever had, in bytes.
    pub fn peak_rss(&self) -> u64 {
        let pid = self.with_host(|host| host.pid());
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        // A host that is gone says nothing, which is no good sign either.
        kilobytes.map_or(u64::MAX, |kilobytes| kilobytes * 1024)
    }

    pub fn note(&self, what: &str) {
        eprintln!("{:8.3} {what}", self.began.elapsed().as_secs_f64());
    }

    /// Somebody works with the host all the while: streams have something to say, and what is acknowledged must be there at the
    /// end.
    pub fn feed(&self) -> Feed {
        let closing = Arc::new(AtomicBool::new(false));
        let clients = ["t1", "t2"].map(|tenant| self.client("user", Some(tenant)));
        let stream = tokio::spawn(feed(clients, Arc::clone(&closing)));
        Feed { closing, stream }
    }

    /// Children, by their process ids.
    pub fn stop(&self) {
        self.with_host(|host| {
            if host.is_alive() {
                host.kill9();
            }
        });
        self.postgres.stop();
    }
}

impl Things {
    async fn make(admin: &Client, receiver: &Receiver) -> Self {
        let made = async |path: &str, body: Value| {
            let answer = admin.send(Method::POST, path, Some(body)).await;
            assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
            answer.body
        };
        let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        let mut parked = String::new();
        for _ in 0..PARKED {
            parked = admin
                .submit("guest-mail", json!({"do": "upstream", "method": "post", "path": "/x", "catch": true}))
                .await;
        }
        admin.wait(&parked, "dead").await;
        let job = admin.submit("guest", json!({"do": "ok"})).await;
        admin.wait(&job, "completed").await;
        let endpoint = made("/webhook-endpoints", json!({"url": webhook(receiver)})).await;
        let key = json!({"name": "fuzz", "role": "service", "tenants": ["t1"], "jobTypes": ["guest"]});
        let key = made("/keys", key).await;
        Self { job, parked, endpoint: text(&endpoint, "id"), key: text(&key, "id"), secret: text(&key, "secret") }
    }

    /// The values of a path, in their order; what is none of ours is named as nobody is.
    pub fn path(&self, template: &str) -> String {
        let mut path = template.to_owned();
        let id = match template.split('/').nth(1) {
            Some("jobs") => &self.job,
            Some("webhook-endpoints") => &self.endpoint,
            Some("keys") => &self.key,
            _ => "019a0000-0000-4000-8000-000000000000",
        };
        let name = match template.split('/').nth(1) {
            Some("plugins") => VICTIM,
            Some("providers") => "sms",
            _ => "spare",
        };
        for (parameter, value) in [
            ("{id}", id),
            ("{job}", self.parked.as_str()),
            ("{seq}", "0"),
            ("{name}", name),
            ("{scope}", "type/guest-slow"),
            ("{bucket}", "tenant/nobody/provider/email"),
            ("{digest}", "sha256:0000000000000000000000000000000000000000000000000000000000000000"),
        ] {
            path = path.replace(parameter, value);
        }
        path
    }
}

/// Submits without end.
pub struct Feed {
    closing: Arc<AtomicBool>,
    stream: JoinHandle<Fed>,
}

#[derive(Default)]
pub struct Fed {
    /// Ids of what was acknowledged.
    pub acknowledged: Vec<String>,
    pub failures: Vec<String>,
}

impl Feed {
    pub async fn end(self) -> Fed {
        self.closing.store(true, Relaxed);
        self.stream.await.unwrap()
    }
}

async fn feed(clients: [Client; 2], closing: Arc<AtomicBool>) -> Fed {
    let (mut fed, mut n) = (Fed::default(), 0);
    let body = json!({"type": "guest", "payload": {"do": "ok"}}).to_string();
    while !closing.load(Relaxed) {
        n += 1;
        let request = clients[n % 2].request(Method::POST, "/jobs").header("content-type", "application/json");
        match request.body(body.clone()).send().await {
            Ok(answer) if answer.status() == 202 => {
                let body = answer.bytes().await.unwrap_or_default();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                fed.acknowledged.extend(body["id"].as_str().map(str::to_owned));
            }
            Ok(answer) => fed.failures.push(format!("a submit beside all this was answered {}", answer.status())),
            Err(error) => fed.failures.push(format!("a submit beside all this was not answered: {error}")),
        }
        tokio::time::sleep(PACE).await;
    }
    fed
}

fn host_options(receiver: &Receiver, more: &str) -> HostOptions {
    let (place, account, from) = (receiver.place(), twilio::ACCOUNT, twilio::FROM);
    let common = "timeout = \"2s\"\nbreaker = { failures = 0 }\nidempotent = true";
    let config = format!(
        r#"
[auth.services]
key = {{ env = "USHER_TEST_SERVICES" }}
[stripe.profiles.main]
key = {{ env = "USHER_TEST_STRIPE" }}
tenants = ["t1"]
base_url = "{NOWHERE}"
timeout = "2s"
[upstreams.rig]
base_url = "http://{place}"
methods = ["GET", "POST"]
breaker = {{ failures = 0 }}
[upstreams.analytics]
base_url = "{NOWHERE}"
methods = ["POST"]
{common}
[upstreams.data]
base_url = "{NOWHERE}"
methods = ["GET", "POST"]
{common}
[upstreams.storage]
base_url = "{NOWHERE}"
methods = ["PUT"]
{common}
[upstreams.twilio]
base_url = "{NOWHERE}"
basic = {{ username = "{account}", password = {{ env = "USHER_TEST_TWILIO" }} }}
timeout = "2s"
breaker = {{ failures = 0 }}
[sms.profiles.default]
upstream = "twilio"
account = "{account}"
from = "{from}"
[webhooks]
timeout = "1s"
allow_private = ["{place}"]
{more}
"#
    );
    HostOptions {
        plugins: PLUGINS.to_vec(),
        policy: Some(POLICY.to_owned()),
        config,
        queues: Some(format!("{}{SPARE}", host::QUEUES)),
        // What strangers send is looked for in all that a host can say.
        filter: "info,usher_host=debug",
        env: [
            ("USHER_TEST_SERVICES", "the host key of all service keys of these tests"),
            ("USHER_TEST_STRIPE", "sk_test_of_the_campaign"),
            ("USHER_TEST_TWILIO", "the token of nobody's account"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec(),
        ..HostOptions::default()
    }
}

/// What the plugins here ask for, and no more.
const POLICY: &str = r#"
[plugins.policy.guest]
jobs = ["guest", "guest-money"]
[plugins.policy.guest-effects]
email = ["default"]
upstream = ["rig"]
jobs = ["guest-mail"]
[plugins.policy.payments]
stripe = ["create-payment-intent"]
jobs = ["send-email"]
webhook = ["payment.completed", "payment.processing", "payment.requires_action"]
[plugins.policy.refunds]
stripe = ["create-refund"]
jobs = ["send-email"]
webhook = ["refund.completed", "refund.pending"]
[plugins.policy.payouts]
stripe = ["create-payout", "create-transfer"]
webhook = ["payout.created"]
[plugins.policy.notifications]
email = ["default"]
[plugins.policy.sms]
sms = ["default"]
[plugins.policy.analytics]
upstream = ["analytics"]
[plugins.policy.cleanup]
upstream = ["data"]
jobs = ["cleanup-old-data"]
[plugins.policy.reports]
upstream = ["data", "storage"]
[plugins.policy.order-rust]
email = ["default"]
upstream = ["rig"]
webhook = ["order.confirmed"]
"#;

/// A queue that may be paused and cleared: nothing else is in it.
const SPARE: &str = r#"
[queues.spare]
tier = 3
retries = 2
delay = "200ms"
backoff = "fixed"
expiry = "6h"
"#;

/// A private place that the host may call, and a URL as the document wants it. The receiver speaks no TLS: nothing gets there.
fn webhook(receiver: &Receiver) -> String {
    format!("https://{}/hook", receiver.place())
}

/// A token that outlives the campaign.
pub fn lasting(role: &str, tenant: Option<&str>) -> String {
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 86_400;
    let claims = json!({"userId": "u1", "role": role, "tenantId": tenant, "exp": expires});
    forged_token(claims, Algorithm::HS256, SECRET.as_bytes())
}

/// The same code once more, as another release to activate.
async fn publish_next(admin: &Client) {
    let source = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/orders");
        fs::read_to_string(folder.join(name)).unwrap()
    };
    let (manifest, schema) = (source("rust.toml"), source("schema.json"));
    let (before, rest) = manifest.split_once("\nversion = ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let manifest = format!("{before}\nversion = \"{NEXT}\"\n{after}");
    let bytes = repacked_with("order-rust.wasm", &manifest, &schema);
    let request = admin.request(Method::POST, "/plugins?activate=false").header("content-type", "application/wasm");
    // A compiler gives way to all else on the machine.
    let answer = read(request.timeout(Duration::from_secs(300)).body(bytes).send().await.unwrap()).await;
    assert!(answer.status.is_success(), "{}", answer.body);
}

/// A component that is published.
pub fn published() -> PathBuf {
    component("guest.wasm")
}
