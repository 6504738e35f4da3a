//! Tickets as tokens: by the minting service and on the chain, with the file that they point to.

use serde_json::{Value, json};

use super::Rig;
use crate::{
    support::{HostOptions, product::POLICY},
    webhooks,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_service_mints_what_is_stored_and_the_holder_hears_of_it() {
    let rig = Rig::start().await;
    webhooks::endpoint(&rig.host, &rig.product.receiver, &["nft.minted"]).await;
    let job = rig.run("nft-mint", rig.product.payload("nft-mint", 7).await, "completed").await;
    let mints = rig.product.minting.mints().await;
    assert_eq!(mints, [json!({"ticket": "7A", "tenant": "t1", "asset": "asset-1"})]);
    assert_eq!((&job["result"]["by"], &job["result"]["assetId"]), (&json!("service"), &json!("asset-1")), "{job}");
    let told = rig.wait_told("nft.minted", 1).await;
    assert_eq!((&told[0], &told[0]["ticket"]), (&job["result"], &json!("7A")));
    let mails = rig.product.sink.wait_mails(1).await;
    assert_eq!(mails[0]["headers"]["Subject"], "Your ticket for Night of Jazz is minted");

    // The year's key holds whoever asks, and whatever key they bring.
    let again = json!({"type": "nft-mint", "payload": rig.product.payload("nft-mint", 7).await}).to_string();
    let answer = rig.host.client().post_with(again, &[("idempotency-key", "someone-else")]).await;
    assert_eq!(answer.body["id"], job["id"], "{}", answer.body);
    let year = "SELECT key_ttl_ms FROM jobs_archive WHERE job_type = 'nft-mint'";
    assert_eq!(rig.db.count(year).await, 365 * 24 * 3_600_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_chain_it_is_one_token_of_the_recipients() {
    let rig = Rig::start().await;
    let recipient = rig.product.cluster.key().await;
    let job = rig.run("nft-mint", rig.product.on_solana(&recipient, 1), "completed").await;
    let result = &job["result"];
    assert_eq!(result["by"], "solana", "{job}");
    let mints = rig.product.cluster.mints().await;
    assert_eq!(mints.keys().collect::<Vec<_>>(), [result["mint"].as_str().unwrap()]);
    assert!(mints.values().all(|mint| (mint.succeeded, mint.supply) == (1, 1)), "{mints:?}");
    let read = rig.product.cluster.read("token-2022", &result["mint"]).await;
    assert_eq!((&read["name"], &read["uri"]), (&json!("Seat 1S"), &result["metadataUri"]), "{read}");
    assert!(result["metadataUri"].as_str().unwrap().starts_with("https://files.example.com/"));
    assert_eq!(rig.product.minting.mints().await, Vec::<Value>::new(), "one of the two ways, not both");
    // Nobody can say where a token on the chain goes but the payload.
    let mut nowhere = rig.product.on_solana(&recipient, 2);
    nowhere.as_object_mut().unwrap().remove("recipient");
    let refused = rig.host.client().post(json!({"type": "nft-mint", "payload": nowhere}).to_string()).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_release_that_mints_by_the_service_only_asks_for_no_wallet() {
    let policy = POLICY.replace("solana = [\"mint-nft\"]\n", "");
    let change = |options: HostOptions| HostOptions {
        plugins: vec!["nft-service.wasm", "notifications.wasm"],
        policy: Some(policy),
        ..options
    };
    let rig = Rig::start_with("", change).await;
    let job = rig.run("nft-mint", rig.product.payload("nft-mint", 1).await, "completed").await;
    assert_eq!(job["result"]["by"], "service");
    let recipient = rig.product.cluster.key().await;
    let job = rig.run("nft-mint", rig.product.on_solana(&recipient, 1), "dead").await;
    assert!(job["errors"][0]["message"].as_str().unwrap().contains("by the service only"), "{job}");
}
