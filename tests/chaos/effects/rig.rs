//! All that runs: PostgreSQL, hosts with failpoints, the providers, and a way to each that breaks.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use uuid::Uuid;

use super::{
    plan::{LOCAL, Plan},
    points::Points,
};
use crate::{
    Options,
    database::Database,
    hosts::Host,
    load::answer,
    rig::{note, until},
    support::{
        ActingService, Cluster, FaultProxy, HostOptions, LocalStripe, PATIENCE, Receiver, Sink, StripeClient,
        StripeWorld, scratch, token,
    },
};

const HOSTS: usize = 3;
/// Of an account of Stripe World, and of the minting service: how long one call may take.
const TIMEOUT: &str = "2s";
/// Of the account that ignores keys. A host that was frozen between the fence and the send (`after-start`) sends when it wakes,
/// and nothing but the key stops a provider from doing that twice: so nobody is frozen here as long as this, see
/// `faults::FROZEN_AT_MOST`.
const LOCAL_TIMEOUT: &str = "8s";

/// How many slots of 50 ms the node is behind that is asked first: it knows of nothing for a second.
const BEHIND: u64 = 20;

/// A tenant, and its account at a Stripe.
pub struct Account {
    pub tenant: String,
    pub card: String,
    pub bad_card: String,
    /// Whose tokens are minted.
    pub recipient: String,
    pub proxy: FaultProxy,
    pub stripe: StripeClient,
}

/// A job that was acknowledged.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub plan: Plan,
    pub id: Uuid,
    pub sent: Instant,
    pub answered: Instant,
}

pub struct Rig {
    pub options: Options,
    pub dir: PathBuf,
    pub began: Instant,
    pub database: Database,
    pub hosts: Vec<Arc<Host>>,
    pub points: Points,
    pub accounts: Vec<Account>,
    pub mint: ActingService,
    pub mint_proxy: FaultProxy,
    pub once_proxy: FaultProxy,
    pub cluster: Cluster,
    /// The port of its node that is behind.
    pub behind: u16,
    pub sink: Sink,
    pub receiver: Receiver,
    pub http: reqwest::Client,
    pub accepted: Mutex<Vec<Accepted>>,
    pub refused: Mutex<Vec<String>>,
    _local: LocalStripe,
}

impl Rig {
    pub async fn new(options: Options) -> Self {
        let dir = scratch("chaos-effects");
        let database = Database::start(&dir).await;
        let (cluster, local) = (Cluster::start().await, LocalStripe::start().await);
        let (behind, wallet, recipient) =
            (cluster.node(BEHIND).await, cluster.key().await, cluster.key().await.address);
        cluster.warp(2 * BEHIND).await;
        cluster.fund(&wallet, 1_000_000_000_000).await;
        let mut accounts = Vec::new();
        for n in 0..LOCAL {
            accounts.push(Account::world(n, recipient.clone()).await);
        }
        let proxy = FaultProxy::start(local.base_url()).await;
        let (card, stripe) = ("pm_card_visa".to_owned(), StripeClient::new(local.base_url()));
        let (tenant, bad_card) = ("local".to_owned(), String::new());
        accounts.push(Account { tenant, card, bad_card, recipient, proxy, stripe });

        let (mint, sink, receiver) = (ActingService::start().await, Sink::start().await, Receiver::start().await);
        let (mint_proxy, once_proxy) = (FaultProxy::start(&mint.base).await, FaultProxy::start(&mint.base).await);
        let points = Points::new(dir.join("points"));
        let mut env = environment(&accounts, &points, options.plant);
        env.push(("USHER_TEST_WALLET", wallet.secret.clone()));
        env.push(("USHER_TEST_SOLANA_0", format!("http://127.0.0.1:{behind}")));
        env.push(("USHER_TEST_SOLANA_1", cluster.url()));
        let host_options = HostOptions {
            config: config(&accounts, &mint_proxy, &once_proxy, &sink, &receiver),
            plugins: vec!["guest-chaos.wasm", "guest-chaos-mail.wasm"],
            filter: std::env::var("CHAOS_LOG").unwrap_or_else(|_| "info".to_owned()).leak(),
            env,
            policy: Some(POLICY.to_owned()),
            ..HostOptions::default()
        };
        let url = database.postgres.url("usher");
        let host = |n| Host::new(n, dir.join(format!("host-{n}")), url.clone(), &host_options, Some(&sink));
        Self {
            options,
            began: Instant::now(),
            hosts: (0..HOSTS).map(host).collect(),
            database,
            points,
            accounts,
            mint,
            mint_proxy,
            once_proxy,
            cluster,
            behind,
            sink,
            receiver,
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap(),
            accepted: Mutex::default(),
            refused: Mutex::default(),
            dir,
            _local: local,
        }
    }

    /// All hosts are ready, serve the guest, and know where the tenants want their events.
    pub async fn start(&self) {
        for host in &self.hosts {
            tokio::spawn(Arc::clone(host).supervise());
            // One after the other: the first compiles, the others find it compiled.
            until(&format!("host {} is ready", host.index), || host.base().is_some()).await;
        }
        let sql = "SELECT count(*) FROM activations";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&self.database.pool).await.unwrap() < 2 {
            assert!(self.began.elapsed() < 2 * PATIENCE, "the guests serve");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let base = self.hosts[0].base().unwrap();
        for account in &self.accounts {
            let url = format!("http://{}/{}", self.receiver.place(), account.tenant);
            let request = self
                .http
                .post(format!("{base}/webhook-endpoints"))
                .bearer_auth(token("venue_admin", Some(&account.tenant)))
                .header("content-type", "application/json")
                .body(json!({"url": url, "events": ["guest.happened"]}).to_string());
            let (status, body) = answer(request).await.unwrap();
            assert_eq!(status, 201, "{body}");
        }
        self.note(&format!("{HOSTS} hosts are ready; seed {}", self.options.seed));
    }

    pub fn note(&self, what: &str) {
        note(self.began, what);
    }

    /// Ways to providers that speak HTTP.
    pub fn proxies(&self) -> impl Iterator<Item = &FaultProxy> {
        self.accounts.iter().map(|account| &account.proxy).chain([&self.mint_proxy, &self.once_proxy])
    }

    /// Jobs that are not settled, and events that have not arrived. `None`: the database is away.
    pub async fn open(&self) -> Option<(i64, i64)> {
        let sql = "SELECT (SELECT count(*) FROM jobs WHERE state <> 'dead'), (SELECT count(*) FROM webhook_deliveries)";
        sqlx::query_as(sql).fetch_one(&self.database.pool).await.ok()
    }

    /// Children, by their process ids.
    pub fn stop_all(&self) {
        for host in &self.hosts {
            host.stop();
        }
        self.database.postgres.stop();
    }

    /// What the hosts said of a job or an effect.
    pub fn lines(&self, text: &str) -> Vec<String> {
        self.hosts.iter().flat_map(|host| host.lines(text)).take(12).collect()
    }

    /// By the job's business key.
    pub fn by_key(&self) -> HashMap<String, Accepted> {
        self.accepted.lock().unwrap().iter().map(|accepted| (accepted.plan.key.clone(), accepted.clone())).collect()
    }
}

impl Account {
    async fn world(n: usize, recipient: String) -> Self {
        let world = StripeWorld::start().await;
        let proxy = FaultProxy::start(world.base_url()).await;
        // Refunds and payouts live on it.
        world.stripe.balance(50_000_000, "eur").await;
        Self {
            tenant: format!("w{n}"),
            card: world.stripe.payment_method("tok_visa").await,
            bad_card: world.stripe.payment_method("tok_visa_chargeDeclinedInsufficientFunds").await,
            recipient,
            proxy,
            stripe: world.stripe,
        }
    }

    fn key_name(&self) -> &'static str {
        match self.tenant.as_str() {
            "w0" => "USHER_TEST_STRIPE_W0",
            "w1" => "USHER_TEST_STRIPE_W1",
            "w2" => "USHER_TEST_STRIPE_W2",
            _ => "USHER_TEST_STRIPE_LOCAL",
        }
    }
}

const POLICY: &str = r#"
[plugins.policy.guest-chaos-mail]
email = ["default", "strict"]
upstream = ["mint"]
jobs = ["guest-chaos"]
webhook = ["guest.happened"]
[plugins.policy.guest-chaos]
email = ["default", "strict"]
upstream = ["mint", "once"]
jobs = ["guest-chaos"]
solana = ["mint-nft"]
webhook = ["guest.happened"]
stripe = [
    "create-payment-intent", "get-payment-intent", "capture-payment-intent", "cancel-payment-intent", "create-refund",
    "create-payout",
]
"#;

fn environment(accounts: &[Account], points: &Points, plant: Option<&'static str>) -> Vec<(&'static str, String)> {
    // A key each, since accounts of one key are one account.
    let key = |account: &Account| (account.key_name(), format!("sk_test_{}", account.tenant));
    let mut env: Vec<_> = accounts.iter().map(key).collect();
    env.push(("USHER_TEST_WEBHOOKS", "a key of the tests, the same on all their hosts".to_owned()));
    env.push(("USHER_TEST_MINT_KEY", "a mint key of the tests, the same on all their hosts".to_owned()));
    env.push(("USHER_FAILPOINTS", points.dir()));
    env.extend(plant.map(|plant| ("USHER_PLANT", plant.to_owned())));
    env
}

fn config(accounts: &[Account], mint: &FaultProxy, once: &FaultProxy, sink: &Sink, receiver: &Receiver) -> String {
    let mut text = format!(
        r#"
[upstreams.mint]
base_url = "{}"
methods = ["POST"]
timeout = "{TIMEOUT}"
idempotent = true
[upstreams.once]
base_url = "{}"
methods = ["POST"]
timeout = "{TIMEOUT}"
[email.profiles.strict]
host = "localhost"
port = {}
security = "starttls"
username = "u"
password = {{ env = "USHER_TEST_SMTP_PASSWORD" }}
from = "Strict <strict@example.com>"
timeout = "3s"
on_doubt = "park"
ca_file = "{}"
[solana]
mint_key = {{ env = "USHER_TEST_MINT_KEY" }}
[solana.profiles.main]
wallet = {{ env = "USHER_TEST_WALLET" }}
tenants = ["*"]
endpoints = [{{ url = {{ env = "USHER_TEST_SOLANA_0" }} }}, {{ url = {{ env = "USHER_TEST_SOLANA_1" }} }}]
commitment = "confirmed"
max_lamports_per_hour = 500000000000
timeout = "3s"
[webhooks]
key = {{ env = "USHER_TEST_WEBHOOKS" }}
timeout = "2s"
retries = {:?}
allow_private = ["{}"]
"#,
        mint.base,
        once.base,
        sink.port,
        sink.ca.display(),
        [500; 40].map(|ms| format!("{ms}ms")),
        receiver.place(),
    );
    for account in accounts {
        let (tenant, key, base) = (&account.tenant, account.key_name(), &account.proxy.base);
        let timeout = if tenant == "local" { LOCAL_TIMEOUT } else { TIMEOUT };
        text.push_str(&format!(
            "[stripe.profiles.{tenant}]\nkey = {{ env = \"{key}\" }}\ntenants = [\"{tenant}\"]\nbase_url = \"{base}\"\n\
             timeout = \"{timeout}\"\n"
        ));
    }
    text
}
