//! `analytics-track`: an event under one spelling, and what its properties are made of; with the feature `upstream`, as the product
//! ships it, sent to the analytics service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usher_plugin::{Failure, Job};
#[cfg(feature = "upstream")]
use usher_plugin::{
    context,
    upstream::{Request, Unexpected},
};

/// Tells the results of the releases apart.
const RELEASE: &str = if cfg!(feature = "upstream") {
    "v3"
} else if cfg!(feature = "v2") {
    "v2"
} else {
    "v1"
};

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Event {
    event: String,
    user_id: Option<String>,
    #[serde(default)]
    properties: Map<String, Value>,
}

/// The job's result.
#[derive(Debug, PartialEq, Serialize)]
struct Summary {
    release: &'static str,
    event: String,
    anonymous: bool,
    /// How many properties are of each kind of JSON value.
    properties: BTreeMap<&'static str, u32>,
    /// How many there are.
    count: usize,
}

fn process(job: Job<Event>) -> Result<Summary, Failure> {
    let Event { event, user_id, properties } = job.payload;
    let event = normal(&event);
    if event.is_empty() {
        return Err(Failure::permanent("the event's name has no letter or digit"));
    }
    #[cfg(feature = "upstream")]
    send(&job.id, &event, user_id.as_deref(), &properties)?;
    let mut kinds = BTreeMap::new();
    for value in properties.values() {
        *kinds.entry(kind(value)).or_default() += 1;
    }
    Ok(Summary { release: RELEASE, event, anonymous: user_id.is_none(), count: properties.len(), properties: kinds })
}

/// The job's id is the event's: a service that sees it twice has seen it once.
#[cfg(feature = "upstream")]
fn send(id: &str, event: &str, user: Option<&str>, properties: &Map<String, Value>) -> Result<(), Unexpected> {
    let event = serde_json::json!({
        "id": id, "event": event, "userId": user, "properties": properties, "sentAt": context::now_ms(),
    });
    Request::post("analytics", "/events").json(&event)?.call()?.expect_ok().map(drop)
}

/// `" Page  View!"` and `page-view` are both `page_view`.
fn normal(event: &str) -> String {
    let words: Vec<_> = event.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("_").to_lowercase()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_plugin::testing::Host;

    use super::*;

    /// An answer for the release that asks.
    fn host() -> Host {
        if cfg!(feature = "upstream") { Host::new().ok(json!({"status": 202})) } else { Host::new() }
    }

    #[test]
    fn an_event_has_one_spelling() {
        assert_eq!(normal(" Page  View!"), "page_view");
        assert_eq!(normal("page-view"), "page_view");
    }

    #[test]
    fn properties_are_counted_by_kind() {
        let payload = serde_json::from_value(json!({
            "event": "Sign Up", "properties": {"plan": "pro", "seats": 3, "trial": true, "from": "mail"},
        }))
        .expect("an event as the schema has it");
        let mut host = host();
        let summary = host.run(|| process(Job::sample("analytics-track", payload))).expect("summary");
        assert_eq!((host.effects().len(), host.answers_left()), (usize::from(cfg!(feature = "upstream")), 0));
        assert_eq!(
            serde_json::to_value(&summary).expect("JSON"),
            json!({
                "release": RELEASE, "event": "sign_up", "anonymous": true, "count": 4,
                "properties": {"boolean": 1, "number": 1, "string": 2},
            })
        );
    }

    #[test]
    fn a_name_without_letters_is_refused() {
        let payload = serde_json::from_value(json!({"event": "?!"})).expect("an event as the schema has it");
        assert!(matches!(process(Job::sample("analytics-track", payload)), Err(Failure::Permanent(_))));
    }
}
