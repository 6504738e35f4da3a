//! kill -9 of the host at every point of a ticket's two effects, the file and the mint: one mint, one event, one mail, whoever it
//! is that mints.

use std::path::PathBuf;

use serde_json::json;

use super::crash::{Ask, between, boundaries, reach};
use crate::{
    solana,
    support::{
        Cluster, Db, FaultProxy, Host, HostOptions, Key, MintingService, Receiver, Sink,
        cells::{self, Harm, Point, Requests, Rpc},
        eventually, minting,
    },
    webhooks,
};

fn ticketing(base: &str, receiver: &Receiver, data_dir: Option<PathBuf>) -> HostOptions {
    let key_id = minting::KEY_ID;
    let upstreams = format!(
        r#"
[upstreams.metadata]
base_url = "{base}/storage"
methods = ["PUT"]
idempotent = true
timeout = "5s"
breaker = {{ failures = 0 }}
[upstreams.minting]
base_url = "{base}"
methods = ["POST"]
paths = ["/api/v1/mint/compressed"]
tenant_header = "X-Tenant-ID"
signature = {{ key_id = "{key_id}", key = {{ env = "USHER_TEST_MINTING" }} }}
idempotent = true
timeout = "5s"
breaker = {{ failures = 0 }}
"#
    );
    let policy = r#"
[plugins.policy.nft]
upstream = ["metadata", "minting"]
jobs = ["send-email"]
webhook = ["nft.minted"]
[plugins.policy.notifications]
email = ["default"]
"#;
    HostOptions {
        plugins: vec!["nft-service.wasm", "notifications.wasm"],
        policy: Some(policy.to_owned()),
        config: upstreams + &webhooks::config(&[receiver.place()]),
        env: vec![("USHER_TEST_MINTING", minting::KEY.to_owned())],
        data_dir,
        ..HostOptions::default()
    }
}

/// Waits for the event and the mail of the one ticket; how many of each came.
async fn told(db: &Db, receiver: &Receiver, sink: &Sink) -> [usize; 2] {
    for (what, sql) in [
        ("the mail", "SELECT count(*) FROM jobs_archive WHERE job_type = 'send-email' AND state = 'completed'"),
        ("the event", "SELECT count(*) FROM webhook_archive WHERE state = 'delivered'"),
    ] {
        eventually(&format!("{what} is sent"), async || (db.count(sql).await == 1).then_some(())).await;
    }
    let (received, mails) = (receiver.received(), sink.mails().await);
    [webhooks::ids(&received).len(), mails.len()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_stored_minted_and_told_once_wherever_its_host_dies() {
    let asks: [Ask; 2] = [("PUT /storage/", 1), ("POST /api/v1/mint/compressed", 1)];
    cells::all("nft-mint", boundaries(asks.len()), async |(nth, point)| {
        let (service, sink, receiver, db) =
            (MintingService::start().await, Sink::start().await, Receiver::start().await, Db::new().await);
        let proxy = FaultProxy::start(&service.base).await;
        let mut first = Host::start(&db, Some(&sink), ticketing(&proxy.base, &receiver, None)).await;
        webhooks::endpoint(&first, &receiver, &["nft.minted"]).await;
        let ticket = json!({
            "eventId": "jazz", "eventName": "Night of Jazz", "seatId": "7A", "name": "Seat 7A", "symbol": "TICKET",
            "attributes": {"row": "7"}, "email": "anna@example.com",
        });
        let client = first.client();
        let submitted =
            reach(point, &db, &proxy, (asks.as_slice(), nth), async || client.submit("nft-mint", ticket).await);
        let (id, held) = submitted.await;
        let again = ticketing(&proxy.base, &receiver, Some(first.data_dir.clone()));
        let second = cells::strike(Harm::Kill, &mut first, &db, held, Host::start(&db, Some(&sink), again)).await;
        let job = second.client().wait(&id, "completed").await;
        // What was held on its way arrives all the same, late.
        proxy.release();
        proxy.wait_quiet().await;
        let counts = told(&db, &receiver, &sink).await;

        let mints = service.mints().await;
        let minted = json!([{"ticket": "7A", "tenant": "t1", "asset": "asset-1"}]);
        if json!(mints) != minted || counts != [1, 1] || job["result"]["assetId"] != "asset-1" {
            return Err(format!("{counts:?} events and mails, {mints:?}: {job}"));
        }
        Ok(())
    })
    .await;
}

/// As `ticketing`, by the release that has a wallet beside the service.
fn on_the_chain(
    base: &str,
    receiver: &Receiver,
    (cluster, wallet): (&Cluster, &Key),
    data_dir: Option<PathBuf>,
) -> HostOptions {
    let chain = solana::options(wallet, &[cluster.url()], "timeout = \"3s\"");
    let tickets = ticketing(base, receiver, data_dir);
    let grant = "[plugins.policy.nft]\nsolana = [\"mint-nft\"]\n";
    HostOptions {
        plugins: vec!["nft.wasm", "notifications.wasm"],
        policy: tickets.policy.map(|policy| policy.replace("[plugins.policy.nft]\n", grant)),
        config: tickets.config + &chain.config,
        env: [tickets.env, chain.env].concat(),
        ..tickets
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_on_the_chain_is_minted_and_told_once_wherever_its_host_dies() {
    cells::all("nft-mint on Solana", boundaries(2), async |(nth, point)| {
        let (service, cluster) = (MintingService::start().await, Cluster::start().await);
        let (sink, receiver, db) = (Sink::start().await, Receiver::start().await, Db::new().await);
        let (wallet, recipient) = (cluster.wallet().await, cluster.key().await.address);
        let proxy = FaultProxy::start(&service.base).await;
        let options = |data_dir| on_the_chain(&proxy.base, &receiver, (&cluster, &wallet), data_dir);
        let mut first = Host::start(&db, Some(&sink), options(None)).await;
        webhooks::endpoint(&first, &receiver, &["nft.minted"]).await;
        let ticket = json!({
            "profile": "solana", "eventId": "jazz", "eventName": "Night of Jazz", "seatId": "7A", "name": "Seat 7A",
            "symbol": "TICKET", "recipient": recipient, "metadataBase": "https://files.example.com/",
            "email": "anna@example.com",
        });
        let client = first.client();
        let submit = async || client.submit("nft-mint", ticket.clone()).await;
        let file = Requests { proxy: &proxy, path: "PUT /storage/" };
        let mint = Rpc { cluster: &cluster, before: "getLatestBlockhash" };
        let (id, held) = match (nth, point) {
            (0, _) => cells::reach(point, &db, &file, submit).await,
            (_, Point::BeforeStart) => between(&db, &file, submit).await,
            _ => cells::reach(point, &db, &mint, submit).await,
        };
        let again = options(Some(first.data_dir.clone()));
        let second = cells::strike(Harm::Kill, &mut first, &db, held, Host::start(&db, Some(&sink), again)).await;
        let job = second.client().wait(&id, "completed").await;
        // What was held on its way arrives all the same, late: its signature is known, or its time is over.
        proxy.release();
        proxy.wait_quiet().await;
        cluster.release().await;
        cluster.warp(40).await;
        let counts = told(&db, &receiver, &sink).await;

        let mints: Vec<_> = cluster.mints().await.into_iter().collect();
        let is_one = matches!(
            mints.as_slice(),
            [(address, mint)] if job["result"]["mint"] == *address && (mint.succeeded, mint.supply) == (1, 1)
        );
        let written = [
            db.count("SELECT count(*) FROM solana_tries WHERE outcome = 'landed'").await,
            db.count("SELECT count(*) FROM ledger").await,
        ];
        if !is_one || counts != [1, 1] || written != [1, 1] {
            return Err(format!(
                "{counts:?} events and mails, {written:?} landed tries and lines of the ledger, {mints:?}: {job}"
            ));
        }
        match service.mints().await.as_slice() {
            [] => Ok(()),
            others => Err(format!("the service minted, too: {others:?}")),
        }
    })
    .await;
}
