//! What is refused, by whom, and that nothing of it is sent.

use serde_json::{Value, json};

use super::{Rig, mint};
use crate::support::{Client, Cluster, Db, Host, HostOptions, eventually, token};

fn with(label: &str, recipient: &str, field: &str, value: Value) -> Value {
    let mut job = mint(label, recipient);
    (job[field], job["catch"]) = (value, true.into());
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_chain_would_take_is_invalid_before_anything_is_sent() {
    let allowed = "Co11ectionAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let rig = Rig::start(&format!("collections = [\"{allowed}\"]")).await;
    let to = rig.recipient.as_str();
    let long = |n: usize| Value::from("x".repeat(n));
    // The associated token account of somebody: off the curve.
    let minted = rig.mint("first").await;
    let sent = rig.cluster.sent().await.len();
    let many: Value = (0..12).map(|n| (format!("key-{n}"), long(60))).collect::<serde_json::Map<_, _>>().into();
    for (field, value, says) in [
        ("label", long(0), "label"),
        ("label", long(65), "label"),
        ("name", long(33), "name"),
        ("name", "a\nb".into(), "name"),
        ("symbol", long(11), "symbol"),
        ("uri", long(201), "uri"),
        ("uri", "".into(), "uri"),
        ("royaltyBps", 10_001.into(), "royalty-bps"),
        ("recipient", "nobody".into(), "recipient"),
        ("recipient", minted["tokenAccount"].clone(), "recipient"),
        ("collection", "none".into(), "collection"),
        ("attributes", json!({"uri": "x"}), "attributes"),
        ("attributes", json!({"collection": "x"}), "attributes"),
        ("attributes", json!({"": "x"}), "attributes"),
        ("attributes", json!({"key": long(129)}), "attributes"),
        ("attributes", many, "bytes"),
    ] {
        let refused = rig.run(with("label", to, field, value)).await;
        assert_eq!(refused["error"], "invalid", "{field}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains(says), "{field}: {refused}");
    }
    let foreign = rig.run(with("label", to, "collection", to.into())).await;
    assert_eq!(foreign["error"], "denied", "{foreign}");
    let nobody = Client::new(&rig.host.base, token("user", Some("t2")));
    let id = nobody.submit("guest-mint", with("label", to, "name", "x".into())).await;
    let denied = nobody.wait(&id, "completed").await["result"].clone();
    assert_eq!(denied["error"], "denied", "no profile serves this tenant: {denied}");
    assert_eq!(rig.cluster.sent().await.len(), sent);
    assert_eq!(rig.db.count("SELECT count(*) FROM solana_tries").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn metaplex_keeps_attributes_in_the_file_and_knows_what_a_collection_is() {
    let rig = Rig::start("standard = \"metaplex\"\ncollections = [\"*\"]").await;
    let refused = rig.run(with("a", &rig.recipient, "attributes", json!({"seat": "1"}))).await;
    assert_eq!(refused["error"], "invalid", "{refused}");
    let refused = rig.run(with("b", &rig.recipient, "collection", rig.recipient.clone().into())).await;
    assert_eq!(refused["code"], "collection-not-found", "{refused}");
    assert_eq!(rig.db.count("SELECT count(*) FROM solana_tries").await, 0, "nothing was signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_one_node_does_not_know_yet_is_found_at_another() {
    let cluster = Cluster::start().await;
    let behind = cluster.node(0).await;
    let urls = [format!("http://127.0.0.1:{behind}"), cluster.url()];
    let rig = Rig::with(cluster, &urls, "standard = \"metaplex\"\ncollections = [\"*\"]").await;
    let collection = rig.mint("collection").await;
    rig.cluster.fault(&format!("getAccountInfo@{behind}"), "unseen", 1_000).await;
    let minted = rig.run(with("seat", &rig.recipient, "collection", collection["mint"].clone())).await;
    assert!(minted["mint"].is_string(), "{minted}");
    assert!(rig.cluster.met().await.contains(&"unseen".to_owned()), "the fault acted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_and_does_not_say_why_is_no_refusal() {
    let rig = Rig::start("").await;
    rig.cluster.fault("sendTransaction", "odd", 1).await;
    let minted = rig.mint("a").await;
    rig.is_the_only_one(&minted).await;
    assert_eq!(rig.outcomes().await, "landed", "the same bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chain_refuses_for_good_is_rejected_by_its_own_word() {
    let rig = Rig::start("standard = \"metaplex\"\ncompute_units = 50000").await;
    let refused = rig.run(with("a", &rig.recipient, "name", "x".into())).await;
    assert_eq!((&refused["error"], &refused["code"]), (&json!("rejected"), &json!("InstructionError")), "{refused}");
    assert_eq!(rig.outcomes().await, "refused");
    assert!(rig.cluster.mints().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_cannot_pay_is_waited_for() {
    let rig = Rig::start("").await;
    rig.cluster.fund(&rig.wallet, 1_000_000).await;
    // Slots are short here: none goes by, so that what was signed is still good after the wait.
    rig.cluster.pause(true).await;
    let id = rig.submit(mint("a", &rig.recipient)).await;
    let error = rig.host.client().wait_error(&id, "effect-retry").await;
    assert!(error["message"].as_str().unwrap().contains("cannot pay"), "{error}");
    // Its profile is held for a while, and then the same is said of the same bytes.
    let retries = eventually("it is tried again", async || {
        let errors = rig.host.client().job(&id).await["errors"].as_array().cloned().unwrap_or_default();
        let retries = errors.into_iter().filter(|error| error["kind"] == "effect-retry").collect::<Vec<_>>();
        (retries.len() > 1).then_some(retries)
    })
    .await;
    assert!(retries.iter().all(|error| error["message"].as_str().unwrap().contains("cannot pay")), "{retries:?}");
    assert_eq!(rig.outcomes().await, "open");
    rig.cluster.pause(false).await;
    rig.cluster.fund(&rig.wallet, 1_000_000_000).await;
    let minted = rig.host.client().wait(&id, "completed").await["result"].clone();
    rig.is_the_only_one(&minted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_mints_only_where_the_operator_grants_it() {
    let db = Db::new().await;
    let host = Host::start(
        &db,
        None,
        HostOptions {
            plugins: vec!["guest-mint.wasm"],
            policy: Some("[plugins.policy.guest-mint]\njobs = [\"guest-mint\"]\n".to_owned()),
            ..HostOptions::default()
        },
    )
    .await;
    let refused = eventually("the plugin is refused", async || {
        let plugins = host.client().get("/plugins").await.body;
        plugins["refusals"].as_array().unwrap().first().cloned()
    })
    .await;
    assert!(refused.to_string().contains("plugins.policy.guest-mint.solana"), "{refused}");
}
