//! Behaviours that tell people. With `catch`, a refusal is the result; without, it fails the job.

use serde::Deserialize;
use serde_json::{Value, json};
use usher_plugin::{Error, Failure, push::Notification, sms::Message};

use crate::described;

#[derive(Debug, Deserialize)]
pub struct Text {
    to: String,
    text: String,
    profile: Option<String>,
    #[serde(default)]
    catch: bool,
}

/// `data`: pairs, so that a key may be there twice.
#[derive(Debug, Deserialize)]
pub struct Push {
    token: Option<String>,
    topic: Option<String>,
    title: String,
    body: String,
    #[serde(default)]
    data: Vec<(String, String)>,
    profile: Option<String>,
    #[serde(default)]
    catch: bool,
}

impl Text {
    pub fn send(self) -> Result<Value, Failure> {
        let mut message = Message::new(self.to, self.text);
        if let Some(profile) = self.profile {
            message = message.profile(profile);
        }
        caught(message.send().map(|sent| json!(sent)), self.catch)
    }
}

impl Push {
    pub fn send(self) -> Result<Value, Failure> {
        let mut notification = match (self.token, self.topic) {
            (Some(token), _) => Notification::to_token(token, self.title, self.body),
            (None, topic) => Notification::to_topic(topic.unwrap_or_default(), self.title, self.body),
        };
        if let Some(profile) = self.profile {
            notification = notification.profile(profile);
        }
        for (key, value) in self.data {
            notification = notification.data(key, value);
        }
        caught(notification.send().map(|sent| json!(sent)), self.catch)
    }
}

fn caught(result: Result<Value, Error>, catch: bool) -> Result<Value, Failure> {
    match result {
        Err(error) if catch => Ok(described(&error)),
        result => Ok(result?),
    }
}
