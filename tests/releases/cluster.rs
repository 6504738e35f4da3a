use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use super::{bare, built, change, guest, offer, options, patient, plugin, publish, published, serves};
use crate::support::{Client, Db, Host, HostOptions, eventually, place};

/// A cluster's times, in which an activation waits for two seconds only.
fn hasty() -> Option<String> {
    let times = "[cluster]\nheartbeat = \"300ms\"\nconfirm_within = \"700ms\"\ndead_after = \"1s\"\ndoubt_margin = \"500ms\"\n\
                 poll = \"500ms\"\nready_within = \"2s\"\n";
    Some(times.to_owned())
}

async fn on_node(client: &Client, name: &str, n: usize) -> serde_json::Value {
    plugin(client, name).await["nodes"][n].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_takes_effect_when_every_live_node_has_it_ready() {
    let db = Db::new().await;
    let (one, two) = (bare(&db).await, bare(&db).await);
    let began = Instant::now();
    let answer = publish(&one.admin(), built("analytics.wasm")).await;
    assert_eq!((answer.status, &answer.body["state"]), (StatusCode::CREATED, &json!("waiting")), "{}", answer.body);
    serves(&two.client(), "analytics", "0.1.0").await;
    println!("two nodes were ready after {:?}", began.elapsed());
    // Nobody had to be waited for in vain.
    let waited = "SELECT count(*) FROM activations a WHERE effective_at > activated_at + interval '5 seconds'";
    assert_eq!(db.count(waited).await, 0);
    for client in [one.client(), two.client()] {
        let id = client.submit("analytics-track", json!({"event": "x"})).await;
        client.wait(&id, "completed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_run_a_release_says_so_and_leaves_its_jobs_to_others() {
    let db = Db::new().await;
    let able = HostOptions { cluster: hasty(), ..options(Vec::new()) };
    let one = Host::start(&db, None, able.clone()).await;
    // Its operator forgot the policy.
    let two = Host::start(&db, None, HostOptions { policy: Some(String::new()), ..able }).await;
    let done = published(&one.admin(), built("guest.wasm")).await;
    assert_eq!(done["state"], "waiting");
    let reason = eventually("the other node says why it is not ready", async || {
        on_node(&one.admin(), "guest", 1).await["reason"].as_str().map(str::to_owned)
    })
    .await;
    assert!(reason.contains("plugins.policy.guest.jobs"), "{reason}");
    let serving = plugin(&two.admin(), "guest").await;
    assert_eq!((&serving["state"], &serving["next"]), (&json!("active"), &json!(null)), "{serving}");
    assert_eq!((&serving["nodes"][0]["ready"], &serving["nodes"][1]["ready"]), (&json!(true), &json!(false)));
    let waited =
        db.count("SELECT (extract(epoch FROM effective_at - activated_at) * 1000)::bigint FROM activations").await;
    assert!(waited >= 2_000, "{waited} ms: the others were given time");

    let detail = eventually("health says which", async || {
        let part = two.client().get("/health").await.body["parts"]["plugins"].clone();
        let detail = part["detail"].as_str().filter(|detail| detail.contains("guest-money")).map(str::to_owned);
        detail.filter(|_| part["status"] == "degraded")
    })
    .await;
    assert!(!detail.contains("policy"), "why is for those who may know: {detail}");

    // Its own submits too run elsewhere, and it claims none of them.
    for n in 0..20 {
        let client = if n % 2 == 0 { two.client() } else { one.client() };
        let id = client.submit("guest", json!({"do": "ok"})).await;
        let job = client.wait(&id, "completed").await;
        assert_eq!((&job["attempt"], &job["errors"]), (&json!(1), &json!([])), "{job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_while_a_node_is_down_waits_until_it_is_dead_and_reaches_it_when_it_is_back() {
    let db = Db::new().await;
    let one = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let mut two = bare(&db).await;
    two.kill9();
    let done = published(&one.admin(), built("analytics-v2.wasm")).await;
    assert_eq!(done["state"], "waiting", "nobody knows yet that it is dead");
    serves(&one.client(), "analytics", "0.2.0").await;
    let two = bare(&db).await;
    let id = two.client().submit("analytics-track", json!({"event": "x"})).await;
    assert_eq!(two.client().wait(&id, "completed").await["result"]["release"], "v2");
    serves(&two.client(), "analytics", "0.2.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_nodes_compiler_rejects_serves_nowhere() {
    let db = Db::new().await;
    let one = Host::start(&db, None, HostOptions { cluster: patient(), ..options(vec!["guest.wasm"]) }).await;
    let two = Host::start(&db, None, HostOptions { cluster: patient(), ..weak() }).await;
    let heavy = heavy();
    let answer = publish(&one.admin(), heavy).await;
    assert_eq!((answer.status, &answer.body["state"]), (StatusCode::CREATED, &json!("waiting")), "{}", answer.body);
    let withdrawn = eventually("it is withdrawn", async || {
        let history = two.client().get("/plugins/guest/releases").await.body;
        let newest = history["items"][0].clone();
        (newest["state"] == "withdrawn").then_some(newest)
    })
    .await;
    assert!(withdrawn["withdrawn"].as_str().unwrap().contains("compile_cpu"), "{withdrawn}");
    assert_eq!(plugin(&one.client(), "guest").await["version"], "0.1.0");
    let id = one.client().submit("guest", json!({"do": "ok"})).await;
    one.client().wait(&id, "completed").await;
    assert!(db.count("SELECT count(*) FROM rejections").await >= 1);
}

/// A node with less room for compiling, and a cache of its own.
pub(super) fn weak() -> HostOptions {
    let artifacts = crate::support::scratch("artifacts").join("private").display().to_string();
    let env = vec![("USHER_RUNTIME__ARTIFACTS", artifacts), ("USHER_RUNTIME__COMPILE_CPU", "1s".to_owned())];
    HostOptions { env, ..options(Vec::new()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_compile_what_served_before_does_not_stand_in_the_way_back() {
    let db = Db::new().await;
    let one = Host::start(&db, None, HostOptions { cluster: hasty(), ..options(Vec::new()) }).await;
    published(&one.admin(), heavy()).await;
    published(&one.admin(), guest("0.9.0")).await;
    let two = Host::start(&db, None, HostOptions { cluster: hasty(), ..weak() }).await;
    let back = change(&one.admin(), "guest", "rollback", None).await;
    // At once, if the other node has said so already.
    assert!(back.status.is_success() && back.body["version"] == "0.8.0", "{} {}", back.status, back.body);
    let reason = eventually("the other node says why it is not ready", async || {
        let node = on_node(&one.admin(), "guest", 1).await;
        node["reason"].as_str().filter(|reason| reason.contains("compile_cpu")).map(str::to_owned)
    })
    .await;
    eventually(&format!("0.8.0 serves though {reason}"), async || {
        let now = plugin(&two.client(), "guest").await;
        (now["version"] == "0.8.0" && now["state"] == "active" && now["next"].is_null()).then_some(())
    })
    .await;
    assert_eq!(db.count("SELECT count(*) FROM rejections").await, 0, "it is the way back for the others");
    let id = one.client().submit("guest", json!({"do": "ok"})).await;
    one.client().wait(&id, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_takes_effect_while_somebody_changes_its_plugin() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let stored = offer(&host.admin(), "/plugins?activate=false", built("analytics-v2.wasm"), &[]).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.body);
    let ready = "SELECT count(*) FROM nodes n JOIN releases r ON r.digest = ANY (n.ready) WHERE r.version = '0.2.0'";
    eventually("the node says that it has it ready", async || (db.count(ready).await == 1).then_some(())).await;
    let waits = "INSERT INTO activations (plugin, digest, reason, activated_by, effective_at) \
                 SELECT plugin, digest, 'activate', 'test', NULL FROM releases WHERE version = '0.2.0'";
    // As a rollback does, which has found it waiting and is about to call it off.
    let mut rollback = db.pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('usher_plugin:analytics'))")
        .execute(&mut *rollback)
        .await
        .unwrap();
    db.execute(waits).await;
    assert_eq!(db.count("SELECT usher_take_effect(0)").await, 0, "it waits for its turn");
    let call_off = "UPDATE activations SET withdrawn_at = now(), withdrawn = 'test' WHERE effective_at IS NULL";
    sqlx::query(call_off).execute(&mut *rollback).await.unwrap();
    rollback.commit().await.unwrap();
    assert_eq!(db.count("SELECT usher_take_effect(0)").await, 0);
    assert_eq!(plugin(&host.client(), "analytics").await["version"], "0.1.0");
    db.execute(waits).await;
    serves(&host.client(), "analytics", "0.2.0").await;
}

/// The guest, and a module beside it that takes the compiler some seconds.
pub(super) fn heavy() -> Vec<u8> {
    // A module within a component stands for itself: its section is appended as it is.
    let bomb = crate::plugins::bomb(2_500);
    let module = &bomb[8..];
    let mut bytes = guest("0.8.0");
    bytes.extend_from_slice(module);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_by_itself_waits_for_nobody() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    place(&crate::support::component("analytics-v2.wasm"), &host.plugins().join("analytics.wasm"));
    serves(&host.client(), "analytics", "0.2.0").await;
    let waits = "SELECT count(*) FROM activations WHERE effective_at IS DISTINCT FROM activated_at";
    assert_eq!(db.count(waits).await, 0, "in effect with the transaction that wrote it");
    tokio::time::timeout(Duration::from_secs(30), host.terminate()).await.unwrap();
}
