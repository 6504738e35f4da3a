//! A profile's nodes: which one is asked, and what they are asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use solana_client::{
    nonblocking::rpc_client::RpcClient, rpc_client::RpcClientConfig, rpc_request::RpcRequest, rpc_response::Response,
};
use solana_hash::Hash;
use solana_pubkey::Pubkey;

use super::transport::{Fault, Wire};
use crate::{
    config::SolanaProfile,
    effects::client,
    ids::EffectId,
    ratelimit::{Bucket, Limiter, Pass},
};

/// All nodes of a profile.
pub(super) struct Nodes {
    nodes: Vec<Node>,
    /// The one that answered last is asked first.
    first: AtomicUsize,
}

pub(super) struct Node {
    /// Host and port, for logs.
    pub place: String,
    bucket: Bucket,
    client: RpcClient,
    limiter: Limiter,
}

/// What a transaction is signed for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    pub blockhash: Hash,
    pub last_valid_block_height: u64,
}

/// What a node says of some signatures, and how far it was itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    /// Of the finalized chain.
    pub block_height: u64,
    /// Whoever answered for the signatures has seen all that is finalized: behind one address may be several machines.
    pub is_current: bool,
    pub seen: Vec<Option<Status>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub slot: u64,
    pub err: Option<Value>,
    pub confirmation_status: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Epoch {
    absolute_slot: u64,
    block_height: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Latest {
    blockhash: String,
    last_valid_block_height: u64,
}

/// An account as it is now.
#[derive(Debug)]
pub(super) struct Account {
    pub owner: Pubkey,
    pub data: Vec<u8>,
}

impl Nodes {
    /// A node that hangs must leave time for the others.
    pub fn new(profile: &SolanaProfile, limiter: &Limiter) -> Result<Self, String> {
        let timeout = profile.timeout / u32::try_from(profile.endpoints.len() + 1).unwrap_or(u32::MAX);
        let http = client(timeout).map_err(|e| e.without_url().to_string())?;
        let nodes = profile.endpoints.iter().map(|endpoint| {
            let place = endpoint.place().ok_or("an endpoint's url has no host")?;
            let wire = Wire::new(http.clone(), endpoint.url.expose());
            Ok(Node {
                bucket: Bucket::destination("solana", &place),
                client: RpcClient::new_sender(wire, RpcClientConfig::default()),
                limiter: limiter.clone(),
                place,
            })
        });
        Ok(Self { nodes: nodes.collect::<Result<_, String>>()?, first: AtomicUsize::new(0) })
    }

    /// Each of them once, beginning with the one that answered last.
    pub fn in_order(&self) -> impl Iterator<Item = &Node> {
        let first = self.first.load(Ordering::Relaxed);
        self.nodes.iter().cycle().skip(first).take(self.nodes.len())
    }

    /// The first answer. A fault is that of the last one asked; what matters of it is only that there was no answer.
    async fn ask<T: DeserializeOwned>(&self, id: EffectId, request: RpcRequest, params: Value) -> Result<T, Fault> {
        let mut last = Fault::Away("the profile has no node".to_owned());
        for node in self.in_order() {
            match node.ask(id, request, params.clone()).await {
                Ok(answer) => {
                    self.answered(node);
                    return Ok(answer);
                }
                Err(fault) => {
                    tracing::debug!(node = node.place, fault = %fault, "a node gave no result");
                    last = fault;
                }
            }
        }
        Err(last)
    }

    pub fn answered(&self, node: &Node) {
        if let Some(n) = self.nodes.iter().position(|other| std::ptr::eq(other, node)) {
            self.first.store(n, Ordering::Relaxed);
        }
    }

    pub async fn recent(&self, id: EffectId) -> Result<Recent, Fault> {
        let params = json!([{ "commitment": "confirmed" }]);
        let latest: Response<Latest> = self.ask(id, RpcRequest::GetLatestBlockhash, params).await?;
        let blockhash =
            latest.value.blockhash.parse().map_err(|_| Fault::Lost("the node's blockhash is none".to_owned()))?;
        Ok(Recent { blockhash, last_valid_block_height: latest.value.last_valid_block_height })
    }

    /// Lamports for an account without data to stay.
    pub async fn rent_of_empty(&self, id: EffectId) -> Result<u64, Fault> {
        self.ask(id, RpcRequest::GetMinimumBalanceForRentExemption, json!([0])).await
    }

    pub async fn account(&self, id: EffectId, address: &Pubkey) -> Result<Option<Account>, Fault> {
        let params = json!([address.to_string(), { "encoding": "base64", "commitment": "confirmed" }]);
        let answer: Response<Option<Value>> = self.ask(id, RpcRequest::GetAccountInfo, params).await?;
        let Some(account) = answer.value else { return Ok(None) };
        let read = || {
            let owner = account["owner"].as_str()?.parse().ok()?;
            Some(Account { owner, data: STANDARD.decode(account["data"][0].as_str()?).ok()? })
        };
        read().map(Some).ok_or_else(|| Fault::Lost("the node's account is none".to_owned()))
    }
}

impl Node {
    async fn ask<T: DeserializeOwned>(&self, id: EffectId, request: RpcRequest, params: Value) -> Result<T, Fault> {
        match self.limiter.take(id, std::slice::from_ref(&self.bucket)).await {
            Ok(Pass::Go) => {}
            Ok(Pass::Later(after)) => return Err(Fault::Limited(after)),
            Err(_) => return Err(Fault::Limited(std::time::Duration::from_secs(1))),
        }
        let answer = self.client.send(request, params).await.map_err(Fault::from);
        if let Err(Fault::Busy { after: Some(after), .. }) = &answer {
            self.limiter.hold(&self.bucket, *after).await;
        }
        answer
    }

    /// Sends signed bytes on. The node tries them first, and says so if they would fail.
    pub async fn send(&self, id: EffectId, transaction: &[u8]) -> Result<String, Fault> {
        let settings = json!({ "encoding": "base64", "skipPreflight": false, "preflightCommitment": "confirmed" });
        self.ask(id, RpcRequest::SendTransaction, json!([STANDARD.encode(transaction), settings])).await
    }

    /// Its own height first: what it does not know *then* has not landed below that height.
    pub async fn look(&self, id: EffectId, signatures: &[&str]) -> Result<Look, Fault> {
        let epoch: Epoch = self.ask(id, RpcRequest::GetEpochInfo, json!([{ "commitment": "finalized" }])).await?;
        let params = json!([signatures, { "searchTransactionHistory": true }]);
        let statuses: Response<Vec<Option<Status>>> = self.ask(id, RpcRequest::GetSignatureStatuses, params).await?;
        if statuses.value.len() != signatures.len() {
            return Err(Fault::Lost("the node answers for other signatures".to_owned()));
        }
        Ok(Look {
            block_height: epoch.block_height,
            is_current: statuses.context.slot >= epoch.absolute_slot,
            seen: statuses.value,
        })
    }
}
