//! Calls to services that the operator named: what leaves, what comes back, and what is refused.

mod answers;
mod breaker;
mod doubt;
pub mod minting;
mod probing;
mod refusals;

use serde_json::{Value, json};

use crate::support::{Db, Host, HostOptions};

/// A host whose upstream `rig` is at this base URL. `more`: further keys of it, and what else the configuration says.
pub fn options(base: &str, more: &str) -> HostOptions {
    HostOptions {
        plugins: vec!["guest-effects.wasm"],
        config: format!("[upstreams.rig]\nbase_url = \"{base}\"\nmethods = [\"GET\", \"POST\"]\n{more}"),
        ..HostOptions::default()
    }
}

async fn start(db: &Db, base: &str, more: &str) -> Host {
    Host::start(db, None, options(base, more)).await
}

/// A request of this method; a refusal is the result.
fn ask(method: &str) -> Value {
    json!({"do": "upstream", "method": method, "path": "/x", "catch": true})
}

/// What the guest got.
async fn result(host: &Host, what: Value) -> Value {
    let client = host.client();
    let id = client.submit("guest-mail", what).await;
    client.wait(&id, "completed").await["result"].clone()
}

/// One header of a response as the guest saw it.
fn header<'a>(result: &'a Value, name: &str) -> Option<&'a str> {
    let headers = result["headers"].as_array().unwrap_or_else(|| panic!("no response: {result}"));
    headers.iter().find(|pair| pair[0] == name).and_then(|pair| pair[1].as_str())
}
