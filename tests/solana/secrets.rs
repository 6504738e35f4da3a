//! The wallet's key, the key of the mints and the tokens in URLs: nowhere but where they belong.

use std::process::Command;

use serde_json::json;

use super::{Rig, mint, options};
use crate::support::{Cluster, Db, Host, HostOptions, eventually};

const TOKEN: &str = "canary4717tokenofthenode";
const MINT_KEY: &str = "canary-mint-4718-key-of-the-mints-long-enough";

#[tokio::test(flavor = "multi_thread")]
async fn no_key_and_no_token_of_a_node_shows_anywhere() {
    let cluster = Cluster::start().await;
    let (wallet, recipient) = (cluster.wallet().await, cluster.key().await.address);
    let urls = [format!("http://127.0.0.1:1/{TOKEN}"), format!("{}/{TOKEN}?api-key={TOKEN}", cluster.url())];
    let mut options = options(&wallet, &urls, "");
    options.env.retain(|(name, _)| *name != "USHER_TEST_MINT_KEY");
    options.env.push(("USHER_TEST_MINT_KEY", MINT_KEY.to_owned()));
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { filter: "debug", ..options }).await;
    let client = host.client();
    let mut bodies = Vec::new();
    for (n, kind) in ["none", "lost", "cut", "broken", "busy"].into_iter().enumerate() {
        cluster.fault("sendTransaction", kind, 1).await;
        let id = client.submit("guest-mint", mint(&format!("seat-{n}"), &recipient)).await;
        bodies.push(client.wait(&id, "completed").await);
    }
    let mut refused = mint("refused", &recipient);
    refused["name"] = "".into();
    let id = client.submit("guest-mint", refused).await;
    bodies.push(client.wait(&id, "dead").await);
    for path in ["/effects", "/providers", "/rate-limits", "/alerts", "/plugins"] {
        bodies.push(host.admin().get(path).await.body);
    }
    let log = eventually("the debug log is there", async || {
        Some(host.log()).filter(|log| log.contains("a node did not take a transaction"))
    })
    .await;
    let dump = Command::new("pg_dump").arg(&db.url).output().unwrap();
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("mint-nft") && dump.contains(&wallet.address) | dump.contains("solana_tries"));
    // The secret half, as the file has it and as base58 begins it.
    let half = wallet.secret.trim_matches(['[', ']']).split(',').take(8).collect::<Vec<_>>().join(",");
    let half_spaced =
        wallet.secret.trim_matches(['[', ']']).split(',').take(8).map(str::trim).collect::<Vec<_>>().join(", ");
    let base58 =
        cluster.call("rig_base58", json!([serde_json::from_str::<Vec<u8>>(&wallet.secret).unwrap()[..32].to_vec()]));
    let base58 = base58.await.as_str().unwrap().to_owned();
    for secret in [TOKEN, MINT_KEY, &half, &half_spaced, &base58] {
        assert!(!log.contains(secret), "{secret} in the log");
        assert!(!dump.contains(secret), "{secret} in the database");
        for body in &bodies {
            assert!(!body.to_string().contains(secret), "{secret} in {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tries_of_old_jobs_go_with_the_archive() {
    let rig = Rig::start("").await;
    rig.mint("old").await;
    rig.mint("new").await;
    rig.db.execute("UPDATE solana_tries SET created_at = created_at - interval '32 days' WHERE label = 'old'").await;
    // The round of a host that has just started.
    let Rig { cluster, wallet, db, host, .. } = rig;
    host.terminate().await;
    let again = options(&wallet, &[cluster.url()], "");
    let _host = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..again }).await;
    eventually("the old one is gone", async || {
        (db.text("SELECT string_agg(label, ' ') FROM solana_tries").await? == "new").then_some(())
    })
    .await;
}
