//! Components that no honest toolchain makes: refused with a reason, within bounds, and nobody else notices.

use std::{
    fs,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{built, is, options, problem, publish, published, release_of};
use crate::support::{
    Answer, Client, Db, Host, HostOptions, eventually,
    host::POLICY,
    hostile::{Hostile, bombs, bytes, manifest, newer_function, repacked, walls, wrong_sort},
    read,
};

/// A host on which the good part of a hostile component may serve.
async fn host(db: &Db, env: Vec<(&'static str, String)>) -> Host {
    let policy = Some(format!("{POLICY}\n[plugins.policy.hostile]\njobs = [\"hostile\"]\n"));
    Host::start(db, None, HostOptions { policy, env, ..options(vec!["analytics.wasm"]) }).await
}

/// The guest of all these tests as another plugin.
fn good() -> Vec<u8> {
    let manifest = manifest("hostile", "hostile", "idempotency = \"none\"\n");
    repacked("guest.wasm", &manifest.replace("[[job]]", "[grants]\njobs = [\"hostile\"]\n[[job]]"))
}

/// However long it takes: what is judged is the host's answer, not this machine's speed.
async fn offer_patiently(client: &Client, bytes: Vec<u8>) -> Answer {
    let request = client.request(Method::POST, "/plugins").header("content-type", "application/wasm").body(bytes);
    read(request.timeout(Duration::from_secs(300)).send().await.unwrap()).await
}

fn is_refused_rightly(hostile: &Hostile, answer: &Answer) {
    let Hostile { name, reasons, says, import, .. } = hostile;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {}", answer.body);
    assert!(reasons.contains(&problem(answer)), "{name}: {}", answer.body);
    assert_eq!(answer.body["reason"], problem(answer), "{name}");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains(says) && detail.len() < 10_000, "{name}: {detail}");
    assert!(!detail.contains(|c: char| c.is_control() && c != '\n'), "{name}: {detail:?}");
    assert_eq!(answer.body["import"], json!(import), "{name}: {}", answer.body);
}

/// Nothing of it is written but that a compiler said no, and the others are as they were.
async fn is_undisturbed(db: &Db, host: &mut Host) {
    assert_eq!(db.count("SELECT count(*) FROM releases").await, 1, "what is refused is not stored");
    assert_eq!(db.count("SELECT count(*) FROM activations").await, 1);
    assert_eq!(db.count("SELECT count(*) FROM job_types").await, 1);
    assert_eq!(release_of(&host.client()).await, "v1", "the one before serves on");
    let rss = host.rss();
    assert!(host.is_alive() && rss < 500 << 20, "the host has {} MiB", rss >> 20);
    assert!(!host.log().lines().any(|line| line.starts_with("thread '") && line.contains("panicked at")), "a panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn components_of_every_wrong_sort_are_refused_with_their_reason() {
    let db = Db::new().await;
    let mut host = host(&db, Vec::new()).await;
    let admin = host.admin();
    for hostile in wrong_sort() {
        let answer = offer_patiently(&admin, hostile.bytes.clone()).await;
        is_refused_rightly(&hostile, &answer);
    }
    // Bytes that are nearly those of a good one.
    let good = built("guest.wasm");
    for place in [good.len() / 3, good.len() / 2] {
        let mut mutated = good.clone();
        mutated[place..place + 64].fill(0xff);
        let answer = offer_patiently(&admin, mutated).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    }
    is_undisturbed(&db, &mut host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pool_or_a_limit_would_refuse_is_refused_at_publish() {
    let db = Db::new().await;
    let mut host = host(&db, Vec::new()).await;
    let admin = host.admin();
    for hostile in walls(&good()) {
        let answer = offer_patiently(&admin, hostile.bytes.clone()).await;
        is_refused_rightly(&hostile, &answer);
    }
    is_undisturbed(&db, &mut host).await;
    // It was not for the rest of them: a harmless module beside the same code is taken, with a memory of its own.
    let harmless = bytes::with_core(&good(), &wat::parse_str("(module (memory 1))").unwrap(), 1);
    published(&admin, harmless).await;
    let id = host.client().submit("hostile", json!({"do": "ok"})).await;
    host.client().wait(&id, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_explodes_in_the_compiler_ends_at_its_limits_while_jobs_run() {
    let db = Db::new().await;
    let mut host = host(&db, vec![("USHER_RUNTIME__COMPILE_CPU", "4s".to_owned())]).await;
    for hostile in bombs() {
        let (admin, bytes, began) = (host.admin(), hostile.bytes.clone(), Instant::now());
        let slow = tokio::spawn(async move { offer_patiently(&admin, bytes).await });
        let mut jobs = 0;
        while !slow.is_finished() {
            assert_eq!(release_of(&host.client()).await, "v1", "{}", hostile.name);
            jobs += 1;
        }
        let answer = slow.await.unwrap();
        println!("{}: {} after {:?}, beside {jobs} jobs", hostile.name, problem(&answer), began.elapsed());
        is_refused_rightly(&hostile, &answer);
    }
    is_undisturbed(&db, &mut host).await;
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE attempt <> 1 OR errors <> '[]'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_hundred_megabytes_is_refused_unread() {
    let db = Db::new().await;
    let mut host = host(&db, Vec::new()).await;
    // No bytes, but a length.
    let beside = host.plugins().join(".large.part");
    fs::File::create(&beside).unwrap().set_len(100 << 20).unwrap();
    fs::rename(&beside, host.plugins().join("large.wasm")).unwrap();
    let refusal: Value = eventually("it is refused", async || {
        let refusals = host.client().get("/plugins").await.body["refusals"].clone();
        refusals.as_array()?.iter().find(|refusal| refusal["source"] == "large.wasm").cloned()
    })
    .await;
    assert_eq!(refusal["reason"], "too-large", "{refusal}");
    assert!(refusal["detail"].as_str().unwrap().contains("104857600"), "{refusal}");
    is_undisturbed(&db, &mut host).await;
    fs::remove_file(host.plugins().join("large.wasm")).unwrap();
    eventually("the refusal goes with its file", async || {
        (host.client().get("/plugins").await.body["refusals"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_a_component_that_is_refused_is_free_for_a_good_one() {
    let db = Db::new().await;
    let host = host(&db, Vec::new()).await;
    let admin = host.admin();
    // The same name, version and type: nothing of the first is in the way of the second.
    let loops = walls(&good()).into_iter().next().unwrap();
    is(&publish(&admin, loops.bytes).await, StatusCode::UNPROCESSABLE_ENTITY, "does-not-instantiate");
    assert_eq!(published(&admin, good()).await["state"], "active");
    let id = host.client().submit("hostile", json!({"do": "ok"})).await;
    host.client().wait(&id, "completed").await;
}

/// The same component, as if it had been built against a later contract of the same track.
fn of_a_later_contract(mut bytes: Vec<u8>) -> Vec<u8> {
    let (built, later) = (b"@0.1.0", b"@0.1.9");
    let places: Vec<_> = (0..bytes.len() - built.len()).filter(|&at| bytes[at..].starts_with(built)).collect();
    assert!(!places.is_empty(), "it names the contract's version");
    for at in places {
        bytes[at..at + later.len()].copy_from_slice(later);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_contract_of_the_track_is_taken_and_a_function_that_is_not_here_is_named() {
    let db = Db::new().await;
    let host = host(&db, Vec::new()).await;
    let (admin, client) = (host.admin(), host.client());
    for version in ["0.1.0", "0.1.9"] {
        let answer = offer_patiently(&admin, newer_function(version)).await;
        is(&answer, StatusCode::UNPROCESSABLE_ENTITY, "does-not-link");
        let detail = answer.body["detail"].as_str().unwrap();
        for name in [format!("usher:plugin/log@{version}"), "flush".to_owned()] {
            assert!(detail.contains(&name), "{name}: {detail}");
        }
    }
    // Its own interface and all that it imports are of the later version, and this host has each of their functions.
    published(&admin, of_a_later_contract(good())).await;
    let calls = [json!({"do": "log", "message": "hello"}), json!({"do": "time"})];
    let id = client.submit("hostile", json!({"do": "steps", "steps": calls})).await;
    let job = client.wait(&id, "completed").await;
    assert!(job["result"][1]["now"].is_u64(), "{job}");
}
