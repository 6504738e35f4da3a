//! Webhooks out: published with a job's success, signed, sent until they are acknowledged, and to nobody but whom they
//! may be sent to.

mod dangers;
mod endpoints;
mod sending;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Db, Host, HostOptions, Received, Receiver, env, eventually, token};

/// A host that may call these receivers, and nothing else that is private.
pub async fn start(db: &Db, receivers: &[&Receiver]) -> Host {
    Host::start(db, None, options(receivers)).await
}

pub fn options(receivers: &[&Receiver]) -> HostOptions {
    let places: Vec<_> = receivers.iter().map(|receiver| receiver.place()).collect();
    HostOptions { plugins: vec!["guest-webhook.wasm"], config: config(&places), ..HostOptions::default() }
}

pub fn config(places: &[String]) -> String {
    format!(
        "[webhooks]\ntimeout = \"2s\"\nretries = [\"100ms\", \"150ms\", \"200ms\", \"250ms\"]\nconcurrency = 8\n\
         per_endpoint = 2\nallow_private = {places:?}\n"
    )
}

/// The same host again.
pub async fn restart(db: &Db, dead: &Host, receivers: &[&Receiver]) -> Host {
    let options = HostOptions { data_dir: Some(dead.data_dir.clone()), plugins: Vec::new(), ..options(receivers) };
    Host::start(db, None, options).await
}

pub fn manager(host: &Host, tenant: &str) -> Client {
    host.client().with_token(token("venue_admin", Some(tenant)))
}

/// Id and secret of a new endpoint of tenant t1.
pub async fn endpoint(host: &Host, receiver: &Receiver, events: &[&str]) -> (String, String) {
    endpoint_of("t1", host, receiver, events).await
}

pub async fn endpoint_of(tenant: &str, host: &Host, receiver: &Receiver, events: &[&str]) -> (String, String) {
    let body = json!({"url": receiver.url(), "events": events});
    let answer = manager(host, tenant).send(Method::POST, "/webhook-endpoints", Some(body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

pub async fn act(host: &Host, id: &str, what: &str, body: Option<Value>) -> Answer {
    manager(host, "t1").send(Method::POST, &format!("/webhook-endpoints/{id}/{what}"), body).await
}

pub async fn change(host: &Host, id: &str, body: Value) -> Answer {
    manager(host, "t1").send(Method::PATCH, &format!("/webhook-endpoints/{id}"), Some(body)).await
}

pub async fn shown(host: &Host, id: &str) -> Value {
    manager(host, "t1").get(&format!("/webhook-endpoints/{id}")).await.body
}

pub async fn deliveries(host: &Host, id: &str) -> Vec<Value> {
    let page = manager(host, "t1").get(&format!("/webhook-endpoints/{id}/deliveries")).await;
    page.body["items"].as_array().unwrap_or_else(|| panic!("{}", page.body)).clone()
}

/// Waits until the endpoint's newest delivery is in that state.
pub async fn wait_delivery(host: &Host, id: &str, state: &str) -> Value {
    eventually(&format!("a delivery is {state}"), async || {
        deliveries(host, id).await.into_iter().next().filter(|delivery| delivery["state"] == state)
    })
    .await
}

pub fn publish(event: &str, data: Value) -> Value {
    json!({"do": "publish", "event": event, "data": data})
}

pub async fn published(host: &Host, event: &str, data: Value) -> String {
    let id = host.client().submit("guest-webhook", publish(event, data)).await;
    host.client().wait(&id, "completed").await;
    id
}

pub fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    received.headers.get(name).unwrap_or_else(|| panic!("no {name}: {received:?}"))
}

pub fn ids(received: &[Received]) -> BTreeSet<&str> {
    received.iter().map(|r| header(r, "webhook-id")).collect()
}

pub fn body(received: &Received) -> Value {
    serde_json::from_str(&received.body).unwrap()
}

/// What the libraries of receivers say: npm's and PyPI's `standardwebhooks`.
pub fn verify(received: &Received, secret: &str) -> [bool; 2] {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: BTreeMap<_, _> = names.iter().map(|name| (*name, header(received, name))).collect();
    let input = json!({"secret": secret, "body": received.body, "headers": headers}).to_string();
    let node = "const { Webhook } = require(process.argv[1]);
        const { secret, body, headers } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
        const hook = new Webhook(secret);
        try { hook.verify(body, headers); console.log('good'); } catch (e) { console.log('bad: ' + e.message); }";
    let python = "import json, sys\nfrom standardwebhooks.webhooks import Webhook\ni = json.load(sys.stdin)\nhook = Webhook(i['secret'])\n\
        try:\n    hook.verify(i['body'], i['headers'])\n    print('good')\nexcept Exception as e:\n    print('bad:', e)\n";
    let library = Path::new(&env("USHER_TEST_PEERS")).join("node_modules/standardwebhooks");
    let mut npm = Command::new("node");
    npm.arg("-e").arg(node).arg(library);
    let mut pypi = Command::new(env("USHER_TEST_PYTHON"));
    pypi.arg("-c").arg(python);
    [npm, pypi].map(|mut command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("good") || said.starts_with("bad"), "{said}");
        said.starts_with("good")
    })
}
