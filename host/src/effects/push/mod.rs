//! Push notifications by way of an upstream: profiles by name, one file for each shape that a provider's HTTP may have.
//!
//! The provider we know has no idempotency key. A notification whose answer was lost is sent again or left to a person, by the
//! profile's `on_doubt`; all its copies carry one name, so that a device shows the last of them only.

mod fcm;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Admitted, Away, CallEnd, OnBehalf, Prepared, Provider, Refused, Sending, Told,
    upstream::{Outgoing, Target, Targets, Went},
};
use crate::{
    config::{self, OnDoubt, PushAdapter, PushProfile},
    journal::{Answer, Class},
    ratelimit::Bucket,
};

const MAX_TOKEN: usize = 4_096;
const MAX_TOPIC: usize = 900;

/// `usher:plugin/push`.
#[derive(Debug)]
pub struct Request {
    pub profile: String,
    pub target: To,
    pub title: String,
    pub body: String,
    pub data: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A device, by its registration token.
    Token(String),
    /// All that have subscribed.
    Topic(String),
}

/// What the provider said to a notification that it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The provider's.
    pub id: String,
}

impl Sent {
    pub fn from_answer(value: Value) -> Option<Self> {
        serde_json::from_value(value).ok()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("push.profiles.{profile}: there is no upstreams.{upstream}")]
pub struct PushError {
    profile: String,
    upstream: String,
}

struct Profile {
    config: PushProfile,
    target: Arc<Target>,
}

/// The provider.
pub struct Push {
    profiles: BTreeMap<String, Profile>,
}

impl Push {
    pub fn new(config: &config::Push, targets: &Targets) -> Result<Self, PushError> {
        let profiles = config.profiles.iter().map(|(name, profile)| match targets.get(&profile.upstream) {
            Some(target) => Ok((name.clone(), Profile { config: profile.clone(), target: Arc::clone(target) })),
            None => Err(PushError { profile: name.clone(), upstream: profile.upstream.clone() }),
        });
        Ok(Self { profiles: profiles.collect::<Result<_, _>>()? })
    }
}

/// A checked notification, and where it goes.
#[derive(Debug)]
pub struct Notification {
    adapter: PushAdapter,
    outgoing: Outgoing,
    to: To,
    title: String,
    body: String,
    data: BTreeMap<String, String>,
}

impl Provider for Push {
    const NAME: &'static str = "push";
    type Request = Request;
    type Call = Notification;

    fn prepare(&self, who: &OnBehalf, request: Request) -> Result<Prepared<Notification>, Refused> {
        let Request { profile, target: to, title, body, data } = request;
        let (kind, address, shown) = match &to {
            To::Token(token) => ("token", token, short(token)),
            To::Topic(topic) => ("topic", topic, topic.chars().filter(|c| !c.is_control()).take(MAX_TOPIC).collect()),
        };
        let identity = json!({ "profile": profile, kind: address, "title": title, "body": body, "data": data });
        let refuse = |answer| Refused { function: "send", identity: identity.clone(), answer };
        let Profile { config, target } = match self.profiles.get(&profile) {
            Some(found) if who.grants.push.contains(&profile) => found,
            _ => return Err(refuse(Answer::Denied(format!("grants.push does not name the profile \"{profile}\"")))),
        };
        check(&to, &title, &body).map_err(|message| refuse(Answer::Invalid(message)))?;
        let redacted = json!({
            "profile": profile,
            kind: shown,
            "bytes": title.len() + body.len() + data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>(),
        });
        let names: BTreeSet<_> = data.iter().map(|(key, _)| key).collect();
        if names.len() < data.len() {
            return Err(refuse(Answer::Invalid("data: a key is there twice".to_owned())));
        }
        let data = data.into_iter().collect();
        let outgoing = match config.adapter {
            PushAdapter::Fcm => {
                fcm::check(&to, &title, &body, &data).map_err(|message| refuse(Answer::Invalid(message)))?;
                fcm::request(config, target, &who.tenant)
            }
        };
        let outgoing = outgoing.map_err(|message| refuse(Answer::Denied(message)))?;
        Ok(Prepared {
            function: "send",
            class: match config.on_doubt {
                OnDoubt::Resend => Class::Resend,
                OnDoubt::Park => Class::Once,
            },
            redacted,
            identity,
            timeout: target.config.timeout,
            // Nothing is repeated by that.
            remembers: std::time::Duration::ZERO,
            bucket: Bucket::profile(Self::NAME, &profile),
            call: Notification { adapter: config.adapter, outgoing, to, title, body, data },
        })
    }

    async fn admit(&self, notification: &Notification) -> Result<Admitted, Away> {
        notification.outgoing.admit().await
    }

    async fn call(&self, sending: Sending, notification: &Notification) -> CallEnd {
        let body = match notification.adapter {
            PushAdapter::Fcm => fcm::body(sending.id, notification),
        };
        match notification.outgoing.clone().with_body(body).send(sending.id).await {
            Went::NotSent(why) => CallEnd::Unreachable(why),
            Went::Lost(why) => CallEnd::doubt(why),
            Went::Reply(reply) => match notification.adapter {
                PushAdapter::Fcm => fcm::meaning(&notification.to, &reply),
            },
        }
    }
}

fn check(to: &To, title: &str, body: &str) -> Result<(), String> {
    match to {
        To::Token(token)
            if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Err(format!("target: a token is 1 to {MAX_TOKEN} characters of visible ASCII"))
        }
        To::Topic(topic)
            if topic.is_empty()
                || topic.len() > MAX_TOPIC
                || !topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%".contains(&b)) =>
        {
            Err(format!("target: a topic is 1 to {MAX_TOPIC} of a-z, A-Z, 0-9, -, _, ., ~ and %"))
        }
        _ if title.is_empty() || body.is_empty() => Err("title and body: neither is empty".to_owned()),
        _ => Ok(()),
    }
}

/// A registration token as the journal shows it.
fn short(token: &str) -> String {
    match token.chars().count() {
        0..16 => "…".to_owned(),
        _ => token.chars().take(6).filter(|c| !c.is_control()).chain(['…']).collect(),
    }
}

/// In a provider's place.
pub(super) fn by_person(answer: &Value) -> Result<Told, String> {
    match Sent::from_answer(answer.clone()) {
        Some(sent) if !sent.id.is_empty() => Ok(Told { value: json!(sent), line: None }),
        _ => Err("/answer: an object of id (the provider's name of the message)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_token_or_a_topic_as_the_provider_writes_them() {
        let token = |token: &str| check(&To::Token(token.to_owned()), "t", "b");
        let topic = |topic: &str| check(&To::Topic(topic.to_owned()), "t", "b");
        assert_eq!(token("fGh3k2:APA91bH-_x"), Ok(()));
        assert_eq!(topic("news.eu-1_%~"), Ok(()));
        for wrong in ["", "a b", "a\nb", "tökén", &"x".repeat(4_097)] {
            assert!(token(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "/topics/x", "a b", "a\nb", &"x".repeat(901)] {
            assert!(topic(wrong).is_err(), "{wrong:?}");
        }
        assert!(check(&To::Topic("a".to_owned()), "", "b").is_err());
        assert!(check(&To::Topic("a".to_owned()), "t", "").is_err());
    }

    #[test]
    fn a_token_is_shown_in_part_only() {
        assert_eq!(short("fGh3k2:APA91bH-_x"), "fGh3k2…");
        assert_eq!(short("fGh3k2:APA91"), "…");
    }
}
