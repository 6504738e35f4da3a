//! Text messages by way of an upstream: profiles by name, one file for each shape that a provider's HTTP may have.
//!
//! No provider of the shape we know recognises a message that it has been given before, so a message whose answer was lost is
//! sent again (at least once) or left to a person (at most once), by the profile's `on_doubt`.

mod mask;
mod twilio;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Admitted, Away, CallEnd, OnBehalf, Prepared, Provider, Refused, Sending, Told,
    upstream::{Outgoing, Target, Targets, Went},
};
use crate::{
    config::{self, OnDoubt, SmsAdapter, SmsProfile},
    journal::{Answer, Class},
    ratelimit::Bucket,
};

/// Characters.
const MAX_TEXT: usize = 1_600;

/// `usher:plugin/sms`.
#[derive(Debug)]
pub struct Request {
    pub profile: String,
    pub to: String,
    pub text: String,
}

/// What the provider said to a message that it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The provider's.
    pub id: String,
    /// The provider's word at that moment, such as `queued`: it has not been delivered yet.
    pub status: String,
}

impl Sent {
    pub fn from_answer(value: Value) -> Option<Self> {
        serde_json::from_value(value).ok()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("sms.profiles.{profile}: there is no upstreams.{upstream}")]
pub struct SmsError {
    profile: String,
    upstream: String,
}

struct Profile {
    config: SmsProfile,
    target: Arc<Target>,
}

/// The provider.
pub struct Sms {
    profiles: BTreeMap<String, Profile>,
}

impl Sms {
    pub fn new(config: &config::Sms, targets: &Targets) -> Result<Self, SmsError> {
        let profiles = config.profiles.iter().map(|(name, profile)| match targets.get(&profile.upstream) {
            Some(target) => Ok((name.clone(), Profile { config: profile.clone(), target: Arc::clone(target) })),
            None => Err(SmsError { profile: name.clone(), upstream: profile.upstream.clone() }),
        });
        Ok(Self { profiles: profiles.collect::<Result<_, _>>()? })
    }
}

/// A checked message, and where it goes.
#[derive(Debug)]
pub struct Message {
    adapter: SmsAdapter,
    outgoing: Outgoing,
}

impl Provider for Sms {
    const NAME: &'static str = "sms";
    type Request = Request;
    type Call = Message;

    fn prepare(&self, who: &OnBehalf, request: Request) -> Result<Prepared<Message>, Refused> {
        let Request { profile, to, text } = request;
        let identity = json!({ "profile": profile, "to": to, "text": text });
        let refuse = |answer| Refused { function: "send", identity: identity.clone(), answer };
        let Profile { config, target } = match self.profiles.get(&profile) {
            Some(found) if who.grants.sms.contains(&profile) => found,
            _ => return Err(refuse(Answer::Denied(format!("grants.sms does not name the profile \"{profile}\"")))),
        };
        check(&to, &text).map_err(|message| refuse(Answer::Invalid(message)))?;
        let outgoing = match config.adapter {
            SmsAdapter::Twilio => twilio::request(config, target, &to, &text, &who.tenant),
        };
        let outgoing = outgoing.map_err(|message| refuse(Answer::Denied(message)))?;
        Ok(Prepared {
            function: "send",
            class: match config.on_doubt {
                OnDoubt::Resend => Class::Resend,
                OnDoubt::Park => Class::Once,
            },
            redacted: json!({ "profile": profile, "to": mask::number(&to), "characters": text.chars().count() }),
            identity,
            timeout: target.config.timeout,
            // Nothing is repeated by that.
            remembers: std::time::Duration::ZERO,
            bucket: Bucket::profile(Self::NAME, &profile),
            call: Message { adapter: config.adapter, outgoing },
        })
    }

    async fn admit(&self, message: &Message) -> Result<Admitted, Away> {
        message.outgoing.admit().await
    }

    async fn call(&self, sending: Sending, message: &Message) -> CallEnd {
        match message.outgoing.send(sending.id).await {
            Went::NotSent(why) => CallEnd::Unreachable(why),
            Went::Lost(why) => CallEnd::doubt(why),
            Went::Reply(reply) => match message.adapter {
                SmsAdapter::Twilio => twilio::meaning(&reply),
            },
        }
    }
}

fn check(to: &str, text: &str) -> Result<(), String> {
    let digits = to.strip_prefix('+').unwrap_or_default();
    if !(8..=15).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) || digits.starts_with('0') {
        return Err("to: a number is + and 8 to 15 digits, the country's code first (E.164)".to_owned());
    }
    if text.is_empty() || text.chars().count() > MAX_TEXT {
        return Err(format!("text: 1 to {MAX_TEXT} characters"));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err("text: holds no control character but line breaks and tabs".to_owned());
    }
    Ok(())
}

/// In a provider's place.
pub(super) fn by_person(answer: &Value) -> Result<Told, String> {
    match Sent::from_answer(answer.clone()) {
        Some(sent) if !sent.id.is_empty() && !sent.status.is_empty() => Ok(Told { value: json!(sent), line: None }),
        _ => Err("/answer: an object of id (the provider's) and status (such as \"sent\")".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_e164_and_a_text_is_neither_empty_nor_too_long() {
        for to in ["+4915112345678", "+15550100", "+123456789012345"] {
            assert_eq!(check(to, "Hi"), Ok(()), "{to}");
        }
        for to in [
            "",
            "+",
            "15550100123",
            "+1555010",
            "+1234567890123456",
            "+0123456789",
            "+1555010012a",
            "+1 555 010 0123",
            "+15550100123\n",
            "+15550100123\r\nFrom: x",
            "+15550100123,+15550100124",
            "+１５５５０１００１",
            "whatsapp:+15550100123",
        ] {
            assert!(check(to, "Hi").is_err_and(|why| why.starts_with("to: ")), "{to:?}");
        }
        for text in ["", "a\0b", "\u{1b}[2J", &"ü".repeat(1_601)] {
            assert!(check("+15550100", text).is_err_and(|why| why.starts_with("text: ")), "{text:?}");
        }
        for text in ["a", "two\nlines\tand more", &"ü".repeat(1_600)] {
            assert_eq!(check("+15550100", text), Ok(()));
        }
    }

    #[test]
    fn a_persons_answer_has_the_providers_shape() {
        let answer = json!({"id": "SM1", "status": "sent"});
        assert_eq!(by_person(&answer).map(|told| told.value), Ok(answer));
        for wrong in [
            json!("SM1"),
            json!({"id": "SM1"}),
            json!({"id": "", "status": "sent"}),
            json!({"id": 1, "status": "sent"}),
        ] {
            assert!(by_person(&wrong).is_err_and(|why| why.starts_with("/answer")), "{wrong}");
        }
    }
}
