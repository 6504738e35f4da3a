//! A component that was built against a published version of the contract loads in this host, and all that it calls is answered.
//! `compat/README.md` says how one is kept.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    author::play_in,
    support::{Db, Host, HostOptions, Product, component, read},
};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder each.
fn published() -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(here("compat")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.is_dir());
    all.sort();
    all
}

/// Interface and name of each function that a WIT text has.
fn functions(wit: &str) -> Vec<(String, String)> {
    let (mut interface, mut found) = ("", Vec::new());
    for line in wit.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("interface ").and_then(|rest| rest.strip_suffix(" {")) {
            interface = name;
        } else if let Some((name, _)) = line.split_once(": func(") {
            found.push((interface.to_owned(), name.trim_start_matches('%').to_owned()));
        }
    }
    found
}

/// Plays a component's cases, each also crashed at every effect. All that they ask for, once each.
fn asked(component: &Path, cases: &Path) -> Vec<String> {
    let (code, report) = play_in(component, cases, &[]);
    assert_eq!(code, 0, "{}: {report}", component.display());
    let mut asked = Vec::new();
    for entry in fs::read_dir(cases).unwrap() {
        let case: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
        // It passed, so these are all, in this order.
        let calls = case["expect"]["effects"].as_array().unwrap();
        asked.extend(calls.iter().map(|effect| effect["call"].as_str().unwrap().to_owned()));
    }
    asked.sort();
    asked.dedup();
    asked
}

/// Calls that are journaled, as a case names them.
fn effects(wit: &str) -> Vec<String> {
    // These either leave with the job's success or leave no trace.
    let others = ["context", "log", "progress", "jobs", "webhook", "handler"];
    let functions = functions(wit).into_iter().filter(|(interface, _)| !others.contains(&interface.as_str()));
    let mut effects: Vec<_> = functions.map(|(interface, name)| format!("{interface}.{name}")).collect();
    effects.sort();
    effects
}

#[test]
fn a_component_kept_from_each_published_version_loads_here_and_all_it_calls_answers() {
    let published = published();
    assert!(published.iter().any(|version| version.ends_with("0.1.0")), "{published:?}");
    for version in published {
        let kept = version.join("everything.wasm");
        assert!(kept.is_file(), "{} is not kept: see compat/README.md", kept.display());
        let wit = fs::read_to_string(version.join("usher.wit")).unwrap();
        assert_eq!(asked(&kept, &version.join("cases")), effects(&wit), "{}", version.display());
    }
}

#[test]
fn what_is_kept_next_calls_every_function_of_the_contract() {
    let source = fs::read_to_string(here("guests/everything/src/lib.rs")).unwrap();
    let wit = fs::read_to_string(here("../wit/usher.wit")).unwrap();
    let functions = functions(&wit);
    assert!(functions.len() >= 20, "{functions:?}");
    for (interface, name) in functions {
        let name = name.replace('-', "_");
        let called = if interface == "handler" { format!("fn {name}(") } else { format!("{interface}::{name}(") };
        assert!(source.contains(&called), "tests/guests/everything does not call {interface}.{name}");
    }
    assert_eq!(asked(&component("everything.wasm"), &here("guests/everything/cases")), effects(&wit));
}

/// What the plugin asks for, in `guests/everything/plugin.toml`.
const GRANTS: &str = r#"
[plugins.policy.everything]
email = ["default"]
sms = ["default"]
push = ["default"]
upstream = ["everything"]
jobs = ["everything"]
webhook = ["everything.done"]
stripe = [
    "create-payment-intent", "get-payment-intent", "capture-payment-intent", "cancel-payment-intent", "create-refund",
    "create-payout", "create-transfer",
]
solana = ["mint-nft"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_component_is_published_to_a_host_and_its_job_calls_the_providers() {
    let product = Product::start().await;
    let place = product.receiver.place();
    let upstream = format!("[upstreams.everything]\nbase_url = \"http://{place}\"\nmethods = [\"POST\"]\n");
    for version in published() {
        // Each on its own: their manifests may have the same version.
        let db = Db::new().await;
        let options =
            HostOptions { plugins: Vec::new(), policy: Some(GRANTS.to_owned()), ..product.options(&upstream) };
        let host = Host::start(&db, Some(&product.sink), options).await;
        let (admin, client) = (host.admin(), host.client());
        let kept = fs::read(version.join("everything.wasm")).unwrap();
        let request = admin.request(Method::POST, "/plugins").header("content-type", "application/wasm").body(kept);
        let answer = read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}: {}", version.display(), answer.body);
        assert_eq!(answer.body["state"], "active", "{}", answer.body);
        let before = product.sink.mails().await.len();
        let id = client.submit("everything", json!({"version": version.file_name().unwrap().to_str()})).await;
        let job = client.wait(&id, "completed").await;
        // Its child does the same again, and so does that one's.
        admin.send(Method::POST, "/queues/money/pause", None).await;

        let said: Vec<_> = job["result"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!((said.len(), said[0]), (16, "everything:true"), "{job}");
        // Of what no provider knows (`pi_1`, `acct_1`) it says so, and that is an answer as well.
        for (place, call) in [
            (1, "email.send"),
            (3, "sms.send"),
            (4, "push.send"),
            (5, "upstream.call"),
            (6, "stripe.create-payment-intent"),
            (13, "solana.mint-nft"),
            (14, "jobs.enqueue"),
            (15, "webhook.publish"),
        ] {
            assert_eq!(said[place], "ok", "{call}: {said:?}");
        }
        assert!(product.sink.mails().await.len() > before, "a mail arrived");
        assert!(!product.twilio.texts().is_empty() && !product.fcm.messages().is_empty());
        assert!(!product.cluster.mints().await.is_empty());
        let child = format!(
            "SELECT count(*) FROM (SELECT parent FROM jobs UNION ALL SELECT parent FROM jobs_archive) AS j \
             WHERE parent = '{id}'"
        );
        assert_eq!(db.count(&child).await, 1, "its child");
    }
}
