//! Alerts: what rules see, what becomes of an alert, and that each is told once.

mod command;
mod kinds;
mod nodes;
mod refused;
mod states;
mod telling;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Host, HostOptions, eventually};

/// Looks every fifth of a second, by these rules only.
fn rules(more: &str) -> String {
    format!("[alerts]\ninterval = \"200ms\"\nbuiltin = false\n{more}")
}

fn options(config: String) -> HostOptions {
    HostOptions { config, ..HostOptions::default() }
}

/// Alerts as this caller sees them.
async fn alerts(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("/alerts?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["items"].as_array().unwrap().clone()
}

/// Waits until the newest alert of a rule is in that state.
async fn wait(host: &Host, rule: &str, state: &str) -> Value {
    eventually(&format!("{rule} is {state}"), async || {
        alerts(&host.admin(), &format!("rule={rule}")).await.into_iter().next().filter(|alert| alert["state"] == state)
    })
    .await
}

async fn act(client: &Client, alert: &Value, verb: &str, body: Option<Value>) -> Answer {
    client.send(Method::POST, &format!("/alerts/{}/{verb}", alert["id"].as_str().unwrap()), body).await
}

async fn done(host: &Host, alert: &Value, verb: &str, body: Option<Value>) -> Value {
    let answer = act(&host.admin(), alert, verb, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{verb}: {}", answer.body);
    answer.body
}

async fn post(host: &Host, path: &str) {
    let answer = host.admin().send(Method::POST, path, None).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.body);
}

/// A job that ends dead.
async fn fail(client: &Client, job_type: &str) -> String {
    let id = client.submit(job_type, json!({"do": "permanent"})).await;
    client.wait(&id, "dead").await;
    id
}
