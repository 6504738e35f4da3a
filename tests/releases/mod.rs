//! Releases as operators manage them, over HTTP and by command, on one host and on several.

mod cli;
mod cluster;
mod held;
mod hostile;
mod judged;
mod manifests;
mod publish;
mod quarantine;
mod refused;
mod retire;
mod rollback;
mod signing;
mod usage;

use std::{fs, path::Path, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    plugins::repacked,
    support::{Answer, Client, Db, Host, HostOptions, component, eventually, read},
};

/// A built component, verbatim.
fn built(name: &str) -> Vec<u8> {
    fs::read(component(name)).unwrap()
}

/// The same code as another version of its plugin; its schema takes anything.
fn version(name: &str, manifest: &str, version: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
    let text = fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once("\nversion = ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    repacked(name, &format!("{before}\nversion = \"{version}\"\n{after}"))
}

fn guest(v: &str) -> Vec<u8> {
    version("guest.wasm", "guests/plugin.toml", v)
}

fn analytics(v: &str) -> Vec<u8> {
    version("analytics.wasm", "../plugins/analytics/plugin.toml", v)
}

async fn offer(client: &Client, path: &str, bytes: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
    let mut request = client.request(Method::POST, path).header("content-type", "application/wasm").body(bytes);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // A compiler gives way to all else on the machine.
    read(request.timeout(Duration::from_secs(300)).send().await.unwrap()).await
}

async fn publish(client: &Client, bytes: Vec<u8>) -> Answer {
    offer(client, "/plugins", bytes, &[]).await
}

/// Publishes what must be taken; the answer's body.
async fn published(client: &Client, bytes: Vec<u8>) -> Value {
    let answer = publish(client, bytes).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    answer.body
}

/// One of the verbs of `/plugins/{name}/…`.
async fn change(client: &Client, name: &str, verb: &str, body: Option<Value>) -> Answer {
    client.send(Method::POST, &format!("/plugins/{name}/{verb}"), body).await
}

async fn plugin(client: &Client, name: &str) -> Value {
    client.get(&format!("/plugins/{name}")).await.body
}

/// Until this version serves, and all nodes have it.
async fn serves(client: &Client, name: &str, version: &str) -> Value {
    eventually(&format!("{name} {version} serves everywhere"), async || {
        let plugin = plugin(client, name).await;
        let all = plugin["ready"]["nodes"] == plugin["ready"]["of"];
        (plugin["version"] == version && plugin["state"] == "active" && all).then_some(plugin)
    })
    .await
}

fn problem(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap_or_default().trim_start_matches("urn:usher:problem:")
}

fn options(plugins: Vec<&'static str>) -> HostOptions {
    HostOptions { plugins, ..HostOptions::default() }
}

/// Queues in which what failed does not come again while a test lasts.
fn slow_queues() -> Option<String> {
    let queue = |name: &str, tier: u8, retries: u8, expiry: &str| {
        format!(
            "[queues.{name}]\ntier = {tier}\nretries = {retries}\ndelay = \"1h\"\nbackoff = \"fixed\"\nmax_delay = \"1h\"\nexpiry = \"{expiry}\"\n"
        )
    };
    Some([queue("money", 1, 10, "24h"), queue("communication", 2, 5, "12h"), queue("background", 3, 2, "6h")].concat())
}

/// A cluster's times, in which no activation takes effect without a node while a test lasts.
fn patient() -> Option<String> {
    let times = "[cluster]\nheartbeat = \"500ms\"\nconfirm_within = \"3s\"\ndead_after = \"5s\"\ndoubt_margin = \"500ms\"\n\
                 poll = \"500ms\"\nready_within = \"10m\"\n";
    Some(times.to_owned())
}

async fn bare(db: &Db) -> Host {
    Host::start(db, None, options(Vec::new())).await
}

async fn release_of(client: &Client) -> Value {
    let id = client.submit("analytics-track", json!({"event": "x"})).await;
    client.wait(&id, "completed").await["result"]["release"].clone()
}

fn is(answer: &Answer, status: StatusCode, slug: &str) {
    assert_eq!((answer.status, problem(answer)), (status, slug), "{}", answer.body);
    assert!(answer.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", answer.body);
}
