//! Several nodes: one is away, busy, broken, or behind.

use serde_json::json;

use super::{Rig, mint, options};
use crate::support::{Cluster, Db, Host, HostOptions, eventually};

/// Nobody listens there.
const AWAY: &str = "http://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn the_next_node_is_asked_when_one_is_away_busy_or_broken() {
    let cluster = Cluster::start().await;
    let (busy, broken) = (cluster.node(0).await, cluster.node(0).await);
    let urls = [AWAY.to_owned(), format!("http://127.0.0.1:{busy}"), cluster.url()];
    let rig = Rig::with(cluster, &urls, "").await;
    for method in ["getLatestBlockhash", "sendTransaction", "getMinimumBalanceForRentExemption"] {
        rig.cluster.fault(&format!("{method}@{busy}"), "busy", 1_000).await;
    }
    let minted = rig.mint("a").await;
    rig.is_the_only_one(&minted).await;

    let urls = [format!("http://127.0.0.1:{broken}"), rig.cluster.url()];
    for method in ["getLatestBlockhash", "getEpochInfo", "sendTransaction"] {
        rig.cluster.fault(&format!("{method}@{broken}"), "broken", 1_000).await;
    }
    let db = Db::new().await;
    let host = Host::start(&db, None, options(&rig.wallet, &urls, "")).await;
    let id = host.client().submit("guest-mint", mint("a", &rig.recipient)).await;
    host.client().wait(&id, "completed").await;
    assert!(rig.cluster.callers("sendTransaction").await.contains(&u64::from(rig.cluster.port())));
    assert_eq!(rig.cluster.mints().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_knows_goes_before_one_that_is_behind() {
    let cluster = Cluster::start().await;
    let behind = cluster.node(400).await;
    cluster.warp(500).await;
    let urls = [format!("http://127.0.0.1:{behind}"), cluster.url()];
    let rig = Rig::with(cluster, &urls, "").await;
    let minted = rig.mint("a").await;
    rig.is_the_only_one(&minted).await;
    let outcomes = rig.outcomes().await;
    assert!(outcomes.ends_with("landed") && outcomes.matches("landed").count() == 1, "{outcomes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_away_is_an_outage_that_burns_no_attempt() {
    let rig = Rig::with(Cluster::start().await, &[AWAY.to_owned()], "").await;
    let id = rig.submit(mint("a", &rig.recipient)).await;
    let error = rig.host.client().wait_error(&id, "effect-snooze").await;
    assert!(error["message"].as_str().unwrap().contains("cannot be reached"), "{error}");
    assert_eq!(rig.db.count("SELECT count(*) FROM solana_tries").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_busy_is_a_failure_for_now() {
    let rig = Rig::start("").await;
    rig.cluster.fault("getMinimumBalanceForRentExemption", "busy", 1).await;
    let minted = rig.mint("a").await;
    rig.is_the_only_one(&minted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_has_its_own_rate_limit() {
    let cluster = Cluster::start().await;
    let (wallet, recipient) = (cluster.wallet().await, cluster.key().await.address);
    let mut options = options(&wallet, &[cluster.url()], "");
    options.config = options.config.replace("\" } }]", "\" }, rate = \"10/s\", burst = 4 }]");
    assert!(options.config.contains("rate"), "{}", options.config);
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { ..options }).await;
    let list = host.client().get("/rate-limits").await.body;
    let bucket = format!("destination/solana/127.0.0.1:{}", cluster.port());
    let limits = list["rateLimits"].as_array().cloned().unwrap_or_default();
    let limit = limits.iter().find(|limit| limit["bucket"] == bucket.as_str());
    let limit = limit.unwrap_or_else(|| panic!("{bucket} is listed: {list}"));
    assert_eq!((&limit["rate"], &limit["burst"]), (&json!("10/s"), &json!(4)), "{limit}");
    // Slow, and all get through.
    let client = host.client();
    let mut jobs = Vec::new();
    for n in 0..3 {
        jobs.push(client.submit("guest-mint", mint(&format!("seat-{n}"), &recipient)).await);
    }
    for id in jobs {
        client.wait(&id, "completed").await;
    }
    assert_eq!(cluster.mints().await.len(), 3);
    assert!(db.count("SELECT count(*) FROM rate_buckets WHERE bucket LIKE 'destination/solana/%'").await == 1);
}

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_errors_are_of_no_known_shape_is_passed_over() {
    let cluster = Cluster::start().await;
    let odd = cluster.node(0).await;
    let urls = [at(odd), cluster.url()];
    let rig = Rig::with(cluster, &urls, "").await;
    for method in ["getMinimumBalanceForRentExemption", "getEpochInfo", "sendTransaction"] {
        rig.cluster.fault(&format!("{method}@{odd}"), "odd", 1_000).await;
    }
    let minted = rig.mint("a").await;
    rig.is_the_only_one(&minted).await;
    assert!(rig.cluster.met().await.contains(&"odd".to_owned()), "the fault acted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_and_says_processed_for_ever_holds_nothing_up() {
    let cluster = Cluster::start().await;
    let stalled = cluster.node(0).await;
    cluster.warp(400).await;
    let urls = [at(stalled), cluster.url()];
    let rig = Rig::with(cluster, &urls, "").await;
    rig.cluster.stall(stalled).await;
    rig.cluster.warp(400).await;
    let minted = rig.mint("a").await;
    rig.is_the_only_one(&minted).await;
    let callers = rig.cluster.callers("sendTransaction").await;
    assert_eq!(callers.first(), Some(&u64::from(stalled)), "it took it first");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_alone_is_not_believed_that_something_is_dead() {
    let cluster = Cluster::start().await;
    let other = cluster.node(0).await;
    let urls = [cluster.url(), at(other)];
    let rig = Rig::with(cluster, &urls, "").await;
    rig.cluster.fault("sendTransaction", "drop", 1_000).await;
    let id = rig.submit(mint("a", &rig.recipient)).await;
    eventually("the first is sent", async || (!rig.cluster.sent().await.is_empty()).then_some(())).await;
    rig.cluster.fault(&format!("getEpochInfo@{other}"), "broken", 100_000).await;
    rig.cluster.warp(600).await;
    let asked = rig.cluster.callers("getSignatureStatuses").await.len();
    eventually("the one is asked", async || {
        (rig.cluster.callers("getSignatureStatuses").await.len() > asked + 5).then_some(())
    })
    .await;
    assert_eq!(rig.outcomes().await, "open", "nothing was signed anew");
    rig.cluster.calm().await;
    let minted = rig.host.client().wait(&id, "completed").await["result"].clone();
    rig.is_the_only_one(&minted).await;
    assert_eq!(rig.outcomes().await, "expired landed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_is_asked_for_nothing_else() {
    let cluster = Cluster::start().await;
    let foreign = cluster.node(0).await;
    let urls = [cluster.url(), at(foreign)];
    let rig = Rig::with(cluster, &urls, "").await;
    rig.cluster.fault(&format!("getGenesisHash@{foreign}"), "foreign", 1_000).await;
    for label in ["a", "b"] {
        rig.mint(label).await;
    }
    let calls = rig.cluster.call("rig_calls", json!([])).await;
    let its = calls.as_array().unwrap().iter().filter(|call| call[0] == foreign).collect::<Vec<_>>();
    assert_eq!(its.iter().map(|call| &call[1]).collect::<Vec<_>>(), ["getGenesisHash"], "once, and nothing else");
    let log = rig.host.log();
    assert_eq!(log.matches("a node is of another cluster").count(), 1, "{log}");
}
