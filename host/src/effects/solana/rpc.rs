//! A profile's nodes: which one is asked, and what they are asked.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use solana_client::{
    nonblocking::rpc_client::RpcClient, rpc_client::RpcClientConfig, rpc_request::RpcRequest, rpc_response::Response,
};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use tokio::sync::OnceCell;

use super::transport::{Fault, Wire};
use crate::{
    config::SolanaProfile,
    effects::client,
    ids::EffectId,
    ratelimit::{Bucket, Limiter, Pass},
};

/// Longest wait in place for a limit of ours, and how often.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: u32 = 3;
/// How much further than the others a node may say that a blockhash is good, in blocks: two minutes.
const AHEAD: u64 = 300;
/// A node so many slots behind another one is not asked first.
const BEHIND: u64 = 150;
/// More lamports than that for an account without data is no answer; the chain takes less than a million.
const ABSURD_RENT: u64 = 100_000_000;

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
    /// Its cluster's first hash, by which clusters are told apart.
    genesis: OnceCell<String>,
    /// That of the profile: of the node that answered first.
    cluster: Arc<OnceLock<String>>,
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
    pub finalized_slot: u64,
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

/// What the chain takes for an account without data to stay.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u64")]
struct RentOfEmpty(u64);

impl TryFrom<u64> for RentOfEmpty {
    type Error = &'static str;

    fn try_from(lamports: u64) -> Result<Self, Self::Error> {
        if lamports > ABSURD_RENT { Err("no rent of any chain") } else { Ok(Self(lamports)) }
    }
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
        let cluster = Arc::new(OnceLock::new());
        let nodes = profile.endpoints.iter().map(|endpoint| {
            let place = endpoint.place().ok_or("an endpoint's url has no host")?;
            let wire = Wire::new(http.clone(), endpoint.url.expose());
            Ok(Node {
                bucket: Bucket::destination("solana", &place),
                client: RpcClient::new_sender(wire, RpcClientConfig::default()),
                limiter: limiter.clone(),
                genesis: OnceCell::new(),
                cluster: Arc::clone(&cluster),
                place,
            })
        });
        Ok(Self { nodes: nodes.collect::<Result<_, String>>()?, first: AtomicUsize::new(0) })
    }

    /// So many have to say that something cannot land any more, for it to be believed.
    pub fn quorum(&self) -> usize {
        self.nodes.len().min(2)
    }

    /// Each of them once, beginning with the one that answered last.
    pub fn in_order(&self) -> impl Iterator<Item = &Node> {
        let first = self.first.load(Ordering::Relaxed);
        self.nodes.iter().cycle().skip(first).take(self.nodes.len())
    }

    /// The first answer. A fault is that of the last one asked; what matters of it is only that there was no answer.
    /// Where a limit of ours alone is in the way, its end is waited for.
    async fn ask<T: DeserializeOwned>(&self, id: EffectId, request: RpcRequest, params: Value) -> Result<T, Fault> {
        for round in 0.. {
            let (mut last, mut soonest) = (Fault::Away("the profile has no node".to_owned()), PATIENCE);
            for node in self.in_order() {
                match node.ask(id, request, params.clone()).await {
                    Ok(answer) => {
                        self.answered(node);
                        return Ok(answer);
                    }
                    Err(fault) => {
                        tracing::debug!(node = node.place, fault = %fault, "a node gave no result");
                        if let Fault::Limited(after) = fault {
                            soonest = soonest.min(after);
                        }
                        last = fault;
                    }
                }
            }
            if round == ROUNDS || soonest == PATIENCE {
                return Err(last);
            }
            tokio::time::sleep(soonest).await;
        }
        Err(Fault::Away("the profile has no node".to_owned()))
    }

    pub fn answered(&self, node: &Node) {
        if let Some(n) = self.nodes.iter().position(|other| std::ptr::eq(other, node)) {
            self.first.store(n, Ordering::Relaxed);
        }
    }

    /// Of those that have looked. One that stands still takes what is sent, and sends it nowhere: it must not stay the first.
    pub fn prefer_the_furthest(&self, looks: &[(&Node, Look)]) {
        let Some((furthest, ahead)) = looks.iter().max_by_key(|(_, look)| look.finalized_slot) else { return };
        let is_first_behind =
            looks.first().is_some_and(|(_, look)| look.finalized_slot.saturating_add(BEHIND) < ahead.finalized_slot);
        if is_first_behind {
            self.answered(furthest);
        }
    }

    /// By the node that is the furthest: one that is behind gives a blockhash whose time is over soon, or already. One that is
    /// far ahead of most others is not believed: nobody else would ever see that time go by.
    pub async fn recent(&self, id: EffectId) -> Result<Recent, Fault> {
        let params = json!([{ "commitment": "confirmed" }]);
        let asked = self.nodes.iter().map(|node| {
            let params = params.clone();
            async move { node.ask::<Response<Latest>>(id, RpcRequest::GetLatestBlockhash, params).await.ok() }
        });
        let mut answers: Vec<_> = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
        let heights: Vec<_> = answers.iter().map(|latest| latest.value.last_valid_block_height).collect();
        let latest = match furthest(&heights) {
            Some(n) => answers.swap_remove(n),
            // Nobody, for now.
            None => self.ask(id, RpcRequest::GetLatestBlockhash, params).await?,
        };
        let blockhash =
            latest.value.blockhash.parse().map_err(|_| Fault::Lost("the node's blockhash is none".to_owned()))?;
        Ok(Recent { blockhash, last_valid_block_height: latest.value.last_valid_block_height })
    }

    /// Lamports for an account without data to stay.
    pub async fn rent_of_empty(&self, id: EffectId) -> Result<u64, Fault> {
        let rent: RentOfEmpty = self.ask(id, RpcRequest::GetMinimumBalanceForRentExemption, json!([0])).await?;
        Ok(rent.0)
    }

    /// `None`: no node that answers knows it. One that is behind does not know what is new.
    pub async fn account(&self, id: EffectId, address: &Pubkey) -> Result<Option<Account>, Fault> {
        let params = json!([address.to_string(), { "encoding": "base64", "commitment": "confirmed" }]);
        let first: Response<Option<Value>> = self.ask(id, RpcRequest::GetAccountInfo, params.clone()).await?;
        let mut found = first.value;
        for node in self.in_order().skip(1) {
            if found.is_some() {
                break;
            }
            let answer: Result<Response<Option<Value>>, _> =
                node.ask(id, RpcRequest::GetAccountInfo, params.clone()).await;
            found = answer.ok().and_then(|answer| answer.value);
        }
        let Some(account) = found else { return Ok(None) };
        let read = || {
            let owner = account["owner"].as_str()?.parse().ok()?;
            Some(Account { owner, data: STANDARD.decode(account["data"][0].as_str()?).ok()? })
        };
        read().map(Some).ok_or_else(|| Fault::Lost("the node's account is none".to_owned()))
    }
}

impl Node {
    async fn ask<T: DeserializeOwned>(&self, id: EffectId, request: RpcRequest, params: Value) -> Result<T, Fault> {
        self.meet(id).await?;
        self.exchange(id, request, params).await
    }

    /// Whether it is of the profile's cluster: nothing else is asked before. What it says is remembered.
    async fn meet(&self, id: EffectId) -> Result<(), Fault> {
        let met = self.genesis.get_or_try_init(|| async {
            let genesis: String = self.exchange(id, RpcRequest::GetGenesisHash, json!([])).await?;
            if *self.cluster.get_or_init(|| genesis.clone()) != genesis {
                tracing::error!(
                    node = self.place,
                    "a node is of another cluster than the others of its profile, and is not used"
                );
            }
            Ok::<_, Fault>(genesis)
        });
        let genesis = met.await.map_err(|fault| match fault {
            // What was to be asked or sent was not.
            Fault::Lost(message) => Fault::Busy { message, after: None },
            fault @ Fault::Said { .. } => Fault::Busy { message: fault.to_string(), after: None },
            fault => fault,
        })?;
        if self.cluster.get() == Some(genesis) {
            return Ok(());
        }
        Err(Fault::Busy { message: "the node is of another cluster".to_owned(), after: None })
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        id: EffectId,
        request: RpcRequest,
        params: Value,
    ) -> Result<T, Fault> {
        match self.limiter.take(id, std::slice::from_ref(&self.bucket)).await {
            Ok(Pass::Go) => {}
            Ok(Pass::Later(after)) => return Err(Fault::Limited(after)),
            Err(_) => return Err(Fault::Limited(Duration::from_secs(1))),
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
            finalized_slot: epoch.absolute_slot,
            is_current: statuses.context.slot >= epoch.absolute_slot,
            seen: statuses.value,
        })
    }
}

/// Which of the heights is the largest; of three and more, among those that are not far above what most others say.
fn furthest(heights: &[u64]) -> Option<usize> {
    let is_sound = |n: usize| {
        let mut others: Vec<_> =
            heights.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, height)| *height).collect();
        others.sort_unstable();
        // Of two nodes, one that is behind and one that lies look the same, and the former is the usual thing.
        others.len() < 2 || heights[n] <= others[others.len() / 2].saturating_add(AHEAD)
    };
    (0..heights.len()).filter(|n| is_sound(*n)).max_by_key(|n| heights[*n])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_node_is_asked_unless_it_is_far_beyond_the_others() {
        assert_eq!(furthest(&[]), None);
        assert_eq!(furthest(&[5]), Some(0));
        assert_eq!(furthest(&[1_000, 5_000]), Some(1), "the other may be behind");
        assert_eq!(furthest(&[1_000, 1_300, 900]), Some(1));
        assert_eq!(furthest(&[1_000, u64::MAX, 1_001]), Some(2));
        assert_eq!(furthest(&[1_000, 5_000, 5_001]), Some(2), "one is behind");
        assert_eq!(furthest(&[1_000, 1_001, u64::MAX, 1_002]), Some(3));
    }

    #[test]
    fn an_absurd_rent_is_no_answer() {
        let read = |lamports: u64| serde_json::from_value::<RentOfEmpty>(json!(lamports)).ok().map(|rent| rent.0);
        assert_eq!(read(890_880), Some(890_880));
        assert_eq!(read(u64::MAX), None);
    }
}
