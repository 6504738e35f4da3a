//! A Solana cluster of a test's own: LiteSVM behind JSON-RPC (`tests/peers/svm_rpc.py`), and the libraries of wallets that read
//! what was minted.

use std::{collections::BTreeMap, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    PATIENCE, env, eventually,
    stripe::{Server, script},
};

/// Metaplex Token Metadata.
const METAPLEX: &str = "metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s";

/// A key pair.
#[derive(Clone, Debug)]
pub struct Key {
    pub address: String,
    /// 64 bytes as a JSON array, as Solana's tools keep them.
    pub secret: String,
}

/// What the bank says of a mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minted {
    /// Transactions that made it and succeeded.
    pub succeeded: u64,
    pub supply: u64,
}

pub struct Cluster {
    server: Server,
    http: reqwest::Client,
}

impl Cluster {
    /// A slot takes 50 ms.
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut python = Command::new(env("USHER_TEST_PYTHON"));
        python.arg(script("svm_rpc.py")).arg("50");
        let server = Server::start(python, "svm_rpc.py").await;
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let cluster = Self { server, http };
        cluster.call("rig_program", json!([METAPLEX, env("USHER_TEST_METAPLEX")])).await;
        cluster
    }

    pub fn port(&self) -> u16 {
        self.server.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    pub async fn call(&self, method: &str, params: Value) -> Value {
        let question = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = self.http.post(self.url()).body(question.to_string()).send().await.unwrap();
        let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Another node, so many slots behind; its port.
    pub async fn node(&self, lag: u64) -> u16 {
        self.call("rig_node", json!([lag])).await.as_u64().unwrap().try_into().unwrap()
    }

    /// What happens to the next calls of a method; `method@port`: at that node.
    pub async fn fault(&self, method: &str, kind: &str, times: u32) {
        self.call("rig_fault", json!([method, kind, times])).await;
    }

    pub async fn calm(&self) {
        self.call("rig_calm", json!([])).await;
    }

    /// That node stands still from now on.
    pub async fn stall(&self, port: u16) {
        self.call("rig_stall", json!([port])).await;
    }

    /// Whether slots go by.
    pub async fn pause(&self, yes: bool) {
        self.call("rig_pause", json!([yes])).await;
    }

    pub async fn warp(&self, slots: u64) {
        self.call("rig_warp", json!([slots])).await;
    }

    pub async fn release(&self) {
        self.call("rig_release", json!([])).await;
    }

    pub async fn wait_held(&self, count: u64) {
        eventually("a call is held", async || {
            (self.call("rig_held", json!([])).await.as_u64()? >= count).then_some(())
        })
        .await;
    }

    pub async fn key(&self) -> Key {
        let made = self.call("rig_keypair", json!([])).await;
        Key { address: made["address"].as_str().unwrap().to_owned(), secret: made["bytes"].to_string() }
    }

    /// A wallet with ten SOL.
    pub async fn wallet(&self) -> Key {
        let key = self.key().await;
        self.fund(&key, 10_000_000_000).await;
        key
    }

    pub async fn fund(&self, key: &Key, lamports: u64) {
        self.call("rig_funds", json!([key.address, lamports])).await;
    }

    pub async fn balance(&self, key: &Key) -> u64 {
        self.call("getBalance", json!([key.address])).await["value"].as_u64().unwrap()
    }

    /// What was minted, by the mint's address.
    pub async fn mints(&self) -> BTreeMap<String, Minted> {
        let mints = self.call("rig_mints", json!([])).await;
        let number = |mint: &Value, field: &str| mint[field].as_u64().unwrap();
        let all = mints.as_object().unwrap().iter();
        all.map(|(address, mint)| {
            (address.clone(), Minted { succeeded: number(mint, "succeeded"), supply: number(mint, "supply") })
        })
        .collect()
    }

    /// Signatures of the transactions that came, in order, repeats too.
    pub async fn sent(&self) -> Vec<String> {
        let sent = self.call("rig_sent", json!([])).await;
        sent.as_array().unwrap().iter().map(|one| one[1].as_str().unwrap().to_owned()).collect()
    }

    /// Kinds of the faults that acted, in order.
    pub async fn met(&self) -> Vec<String> {
        let met = self.call("rig_met", json!([])).await;
        met.as_array().unwrap().iter().map(|one| one[1].as_str().unwrap().to_owned()).collect()
    }

    /// An account's data, which for a token of the newer program holds what the token is called.
    pub async fn data(&self, address: &str) -> Vec<u8> {
        let account = self.call("getAccountInfo", json!([address])).await;
        STANDARD.decode(account["value"]["data"][0].as_str().unwrap()).unwrap()
    }

    /// Ports that were called with this method.
    pub async fn callers(&self, method: &str) -> Vec<u64> {
        let calls = self.call("rig_calls", json!([])).await;
        let calls = calls.as_array().unwrap().iter().filter(|call| call[1] == method);
        calls.map(|call| call[0].as_u64().unwrap()).collect()
    }

    /// What a wallet's library makes of it. `standard`: `token-2022` or `metaplex`.
    pub async fn read(&self, standard: &str, mint: &Value) -> Value {
        let mut node = Command::new("node");
        node.arg(script("solana/read_nft.mjs")).arg(env("USHER_TEST_SOLANA"));
        node.args([self.url(), standard.to_owned(), mint.as_str().unwrap().to_owned()]);
        let output = tokio::task::spawn_blocking(move || node.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
