//! Transactions of which nobody heard the end.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Rig, mint, options};
use crate::support::{Cluster, Host, HostOptions, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_and_nothing_is_minted_twice() {
    let rig = Rig::start("").await;
    for (n, kind) in ["lost", "cut"].into_iter().enumerate() {
        rig.cluster.fault("sendTransaction", kind, 1).await;
        let minted = rig.mint(kind).await;
        let mints = rig.cluster.mints().await;
        assert_eq!(mints.len(), n + 1, "{kind}");
        assert_eq!(mints[minted["mint"].as_str().unwrap()].succeeded, 1, "{kind}");
    }
    assert_eq!(rig.outcomes().await, "landed landed", "one signature each");
    assert_eq!(rig.cluster.met().await, ["lost", "cut"], "the faults acted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_transaction_is_sent_again_as_it_was_signed() {
    let rig = Rig::start("").await;
    rig.cluster.fault("sendTransaction", "drop", 1).await;
    let minted = rig.mint("a").await;
    rig.is_the_only_one(&minted).await;
    let sent = rig.cluster.sent().await;
    assert!(sent.len() > 1, "{sent:?}");
    assert_eq!(BTreeSet::from_iter(&sent).len(), 1, "the same bytes: {sent:?}");
    assert_eq!(rig.outcomes().await, "landed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_signed_anew_and_both_are_kept() {
    let rig = Rig::start("").await;
    rig.cluster.fault("sendTransaction", "drop", 1_000).await;
    let id = rig.submit(mint("a", &rig.recipient)).await;
    eventually("the first is sent", async || (!rig.cluster.sent().await.is_empty()).then_some(())).await;
    rig.cluster.warp(600).await;
    rig.cluster.calm().await;
    let minted = rig.host.client().wait(&id, "completed").await["result"].clone();
    rig.is_the_only_one(&minted).await;
    let outcomes = rig.outcomes().await;
    assert!(outcomes.starts_with("expired") && outcomes.ends_with("landed"), "{outcomes}");
    let tries = rig.db.count("SELECT count(DISTINCT signature) FROM solana_tries").await;
    assert!(tries >= 2, "{outcomes}");
    assert_eq!(rig.db.count("SELECT count(DISTINCT mint) FROM solana_tries").await, 1, "one address for all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_behind_is_not_believed_when_it_knows_nothing() {
    let cluster = Cluster::start().await;
    // It takes what is sent and shows it a minute later.
    let behind = cluster.node(1_200).await;
    cluster.warp(1_400).await;
    let rig = Rig::with(cluster, &[format!("http://127.0.0.1:{behind}")], "").await;
    // Its blockhash is old, but the bank keeps a window of its own: only a current one lands.
    rig.cluster.fault(&format!("getLatestBlockhash@{behind}"), "current", 1_000).await;
    let id = rig.submit(mint("a", &rig.recipient)).await;
    eventually("it has landed", async || (rig.cluster.mints().await.len() == 1).then_some(())).await;
    // It says it does not know the signature, again and again.
    let asked = rig.cluster.callers("getSignatureStatuses").await.len();
    eventually("it is asked", async || {
        (rig.cluster.callers("getSignatureStatuses").await.len() > asked + 10).then_some(())
    })
    .await;
    assert_eq!(rig.db.count("SELECT count(*) FROM solana_tries").await, 1, "nothing was signed anew");
    rig.cluster.warp(1_300).await;
    let minted = rig.host.client().wait(&id, "completed").await["result"].clone();
    rig.is_the_only_one(&minted).await;
    assert_eq!(rig.outcomes().await, "landed");
}

/// A host that dies while its transaction lands, and another one that comes after it: with what, `meanwhile` may change.
async fn succeed(rig: &mut Rig, meanwhile: impl AsyncFnOnce(&Rig), change: impl FnOnce(&mut HostOptions)) -> String {
    rig.cluster.fault("sendTransaction", "hold-after", 1).await;
    let id = rig.submit(mint("a", &rig.recipient)).await;
    rig.cluster.wait_held(1).await;
    rig.host.kill9();
    rig.cluster.release().await;
    meanwhile(rig).await;
    let mut again = options(&rig.wallet, &[rig.cluster.url()], "timeout = \"3s\"");
    again.data_dir = Some(rig.host.data_dir.clone());
    change(&mut again);
    rig.host = Host::start(&rig.db, None, again).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_off_and_is_on_the_chain_all_the_same_is_the_answer() {
    let mut rig = Rig::start("timeout = \"3s\"").await;
    let meanwhile = async |rig: &Rig| {
        rig.cluster.warp(600).await;
        // Until the next transaction comes, the node has forgotten all.
        rig.cluster.fault("getSignatureStatuses", "blind", 1).await;
    };
    let id = succeed(&mut rig, meanwhile, |_| {}).await;
    let minted = rig.host.client().wait(&id, "completed").await["result"].clone();
    rig.is_the_only_one(&minted).await;
    assert_eq!(rig.outcomes().await, "landed refused", "signed anew, and the mint was there");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_mint_key_nothing_is_signed_anew() {
    let mut rig = Rig::start("timeout = \"3s\"").await;
    // Long dead, and another key would make another mint.
    rig.cluster.fault("sendTransaction", "drop", 1_000).await;
    let meanwhile = async |rig: &Rig| rig.cluster.warp(600).await;
    let id = succeed(&mut rig, meanwhile, |options| {
        options.env.retain(|(name, _)| *name != "USHER_TEST_MINT_KEY");
        options.env.push(("USHER_TEST_MINT_KEY", "another mint key of the integration tests".to_owned()));
    })
    .await;
    let parked = rig.host.client().wait(&id, "dead").await;
    assert_eq!(parked["reason"], "unknown-outcome", "{parked}");
    assert!(parked.to_string().contains("solana.mint_key"), "{parked}");
    assert_eq!(rig.db.count("SELECT count(*) FROM solana_tries").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_says_that_it_did_not_happen_while_it_still_may() {
    let mut rig = Rig::start("timeout = \"3s\"").await;
    // Parked as one of which there is no record; then there is one after all.
    let meanwhile = async |rig: &Rig| {
        rig.db.execute("CREATE TABLE kept AS SELECT * FROM solana_tries").await;
        rig.db.execute("DELETE FROM solana_tries").await;
    };
    let id = succeed(&mut rig, meanwhile, |_| {}).await;
    rig.host.client().wait(&id, "dead").await;
    rig.db.execute("DELETE FROM solana_tries").await;
    rig.db.execute("INSERT INTO solana_tries SELECT * FROM kept").await;

    let (admin, path) = (rig.host.admin(), format!("/effects/{id}/0/resolve"));
    let says = async |outcome: &str| {
        let body = json!({"outcome": outcome, "evidence": "not in an explorer"});
        admin.send(Method::POST, &path, Some(body)).await
    };
    for outcome in ["void", "resend"] {
        let refused = says(outcome).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
        assert!(refused.body.to_string().contains("may still land; ask again in "), "{}", refused.body);
    }
    rig.db.execute("UPDATE solana_tries SET outcome = 'landed', outcome_at = now()").await;
    let refused = says("void").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    let signature = rig.db.text("SELECT signature FROM solana_tries").await.unwrap();
    assert!(refused.body.to_string().contains(&signature), "{}", refused.body);
    // Nothing lands so long after it was signed; and what is known to be dead need not be waited for.
    rig.db
        .execute("UPDATE solana_tries SET outcome = NULL, outcome_at = NULL, created_at = now() - interval '5 minutes'")
        .await;
    let resolved = says("void").await;
    assert_eq!(resolved.status, StatusCode::OK, "{}", resolved.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_nobody_can_account_for_is_left_to_a_person() {
    let mut rig = Rig::start("timeout = \"3s\"").await;
    // What no host does: the record of what was signed is gone.
    let meanwhile = async |rig: &Rig| {
        rig.db.execute("CREATE TABLE kept AS SELECT * FROM solana_tries").await;
        rig.db.execute("DELETE FROM solana_tries").await;
    };
    let id = succeed(&mut rig, meanwhile, |_| {}).await;
    let signature = rig.db.text("SELECT signature FROM kept").await.unwrap();
    let token_account = rig.db.text("SELECT token_account FROM kept").await.unwrap();
    let parked = rig.host.client().wait(&id, "dead").await;
    assert_eq!(parked["reason"], "unknown-outcome", "{parked}");
    let mints = rig.cluster.mints().await;
    assert_eq!(mints.values().map(|mint| mint.succeeded).collect::<Vec<_>>(), [1]);

    let (admin, path) = (rig.host.admin(), format!("/effects/{id}/0/resolve"));
    let told =
        json!({"mint": mints.keys().next(), "tokenAccount": token_account, "signature": signature, "slot": 1200});
    for (answer, pointer) in [(json!({"mint": "m"}), "/answer/tokenAccount"), (json!({}), "/answer/mint")] {
        let body = json!({"outcome": "happened", "evidence": "x", "answer": answer});
        let refused = admin.send(Method::POST, &path, Some(body)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
    }
    let body = json!({"outcome": "happened", "evidence": "seen in an explorer", "answer": told});
    let resolved = admin.send(Method::POST, &path, Some(body)).await;
    assert_eq!(resolved.status, StatusCode::OK, "{}", resolved.body);
    let done = rig.host.client().wait(&id, "completed").await;
    assert_eq!(done["result"]["signature"], signature.as_str());
}
