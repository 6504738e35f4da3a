//! Mints through the gate, counted at the bank: LiteSVM runs the programs that the chain runs, and wallets' libraries read back
//! what was minted.

mod dangers;
mod doubt;
mod fences;
mod limits;
mod minting;
mod nodes;
mod refusals;
mod secrets;

use serde_json::{Value, json};

use crate::support::{Cluster, Db, Host, HostOptions, Key};

/// A job that mints one NFT.
pub fn mint(label: &str, recipient: &str) -> Value {
    json!({
        "do": "mint", "label": label, "name": "Seat 12A", "symbol": "TICKET", "recipient": recipient,
        "uri": "https://files.example.com/sha256-0123456789abcdef.json",
    })
}

/// A profile `main` of tenant t1. `settings`: further lines of it.
pub fn options(wallet: &Key, urls: &[String], settings: &str) -> HostOptions {
    const URLS: [&str; 3] = ["USHER_TEST_SOLANA_0", "USHER_TEST_SOLANA_1", "USHER_TEST_SOLANA_2"];
    let endpoints: Vec<_> =
        URLS.iter().take(urls.len()).map(|name| format!("{{ url = {{ env = \"{name}\" }} }}")).collect();
    let mut env = vec![
        ("USHER_TEST_MINT_KEY", "the mint key of the integration tests, long enough".to_owned()),
        ("USHER_TEST_WALLET", wallet.secret.clone()),
    ];
    env.extend(URLS.into_iter().zip(urls.iter().cloned()));
    let timeout = if settings.contains("timeout") { "" } else { "timeout = \"4s\"" };
    let commitment = if settings.contains("commitment") { "" } else { "commitment = \"confirmed\"" };
    HostOptions {
        plugins: vec!["guest-mint.wasm"],
        config: format!(
            r#"
[solana]
mint_key = {{ env = "USHER_TEST_MINT_KEY" }}
[solana.profiles.main]
wallet = {{ env = "USHER_TEST_WALLET" }}
tenants = ["t1"]
endpoints = [{}]
{timeout}
{commitment}
{settings}
"#,
            endpoints.join(", ")
        ),
        env,
        ..HostOptions::default()
    }
}

/// A cluster, a host with a wallet of ten SOL, and somebody who gets what is minted.
pub struct Rig {
    pub cluster: Cluster,
    pub wallet: Key,
    pub recipient: String,
    pub db: Db,
    pub host: Host,
}

impl Rig {
    pub async fn start(settings: &str) -> Self {
        let cluster = Cluster::start().await;
        let urls = [cluster.url()];
        Self::with(cluster, &urls, settings).await
    }

    pub async fn with(cluster: Cluster, urls: &[String], settings: &str) -> Self {
        let (wallet, recipient) = (cluster.wallet().await, cluster.key().await.address);
        let db = Db::new().await;
        let host = Host::start(&db, None, options(&wallet, urls, settings)).await;
        Self { cluster, wallet, recipient, db, host }
    }

    pub async fn submit(&self, payload: Value) -> String {
        self.host.client().submit("guest-mint", payload).await
    }

    pub async fn run(&self, payload: Value) -> Value {
        let id = self.submit(payload).await;
        self.host.client().wait(&id, "completed").await["result"].clone()
    }

    /// A plain mint, to its end; its result.
    pub async fn mint(&self, label: &str) -> Value {
        self.run(mint(label, &self.recipient)).await
    }

    /// There is this mint, it was made once, and nothing else was.
    pub async fn is_the_only_one(&self, minted: &Value) {
        let mints = self.cluster.mints().await;
        assert_eq!(mints.keys().collect::<Vec<_>>(), [minted["mint"].as_str().unwrap()]);
        assert!(mints.values().all(|mint| (mint.succeeded, mint.supply) == (1, 1)), "{mints:?}");
    }

    /// What the tries came to, in order.
    pub async fn outcomes(&self) -> String {
        let sql = "SELECT string_agg(coalesce(outcome, 'open'), ' ' ORDER BY created_at, number) FROM solana_tries";
        self.db.text(sql).await.unwrap_or_default()
    }
}
