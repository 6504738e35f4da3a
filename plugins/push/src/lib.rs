//! `send-push`: one notification, to an installation of an app or to a topic.

use std::collections::BTreeMap;

use serde::Deserialize;
use usher_plugin::{
    Failure, Job,
    push::{self, Notification, Sent},
};

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    profile: Option<String>,
    token: Option<String>,
    topic: Option<String>,
    title: String,
    body: String,
    /// In the order of its keys, whatever that of the payload is.
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Payload {
    fn notification(self) -> Result<Notification, Failure> {
        let Self { profile, token, topic, title, body, data } = self;
        let notification = match (token, topic) {
            (Some(token), None) => Notification::to_token(token, title, body),
            (None, Some(topic)) => Notification::to_topic(topic, title, body),
            _ => return Err(Failure::permanent("a notification has either a token or a topic")),
        };
        let notification = notification.profile(profile.as_deref().unwrap_or(push::DEFAULT_PROFILE));
        Ok(data.into_iter().fold(notification, |notification, (key, value)| notification.data(key, value)))
    }
}

fn process(job: Job<Payload>) -> Result<Sent, Failure> {
    Ok(job.payload.notification()?.send()?)
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn notification(mut payload: Value) -> Result<String, Failure> {
        payload["title"] = json!("Doors are open");
        payload["body"] = json!("Come in.");
        let payload: Payload = serde_json::from_value(payload).expect("fields as the schema has them");
        payload.notification().map(|notification| format!("{notification:?}"))
    }

    #[test]
    fn it_goes_to_a_token_or_to_a_topic_with_its_data_in_order() {
        let shown = notification(json!({"token": "abc", "data": {"b": "2", "a": "1"}})).expect("sound");
        assert!(shown.contains("Token(\"abc\")") && shown.contains("\"default\""), "{shown}");
        assert!(shown.find("\"1\"") < shown.find("\"2\""), "{shown}");
        let shown = notification(json!({"topic": "news", "profile": "eu"})).expect("sound");
        assert!(shown.contains("Topic(\"news\")") && shown.contains("\"eu\""), "{shown}");
    }

    #[test]
    fn both_and_neither_are_refused() {
        for payload in [json!({}), json!({"token": "abc", "topic": "news"})] {
            assert!(matches!(notification(payload.clone()), Err(Failure::Permanent(_))), "{payload}");
        }
    }
}
