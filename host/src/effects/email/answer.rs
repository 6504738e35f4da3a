use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::effects::Told;

/// What the server said to a mail that it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sent {
    pub message_id: String,
    #[serde(default)]
    pub refused: Vec<Refusal>,
}

/// A recipient that the server refused for good, while it took the mail for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// Its place in the mail's `to`, from 0: the journal shows no address, and the guest knows its own.
    pub recipient: usize,
    /// SMTP, 500 to 599.
    pub code: u16,
    /// The server's words, with addresses shortened.
    pub message: String,
}

impl Sent {
    /// As journaled; hosts up to 0.1 wrote the Message-ID alone, a mail without refusals.
    pub fn from_answer(value: Value) -> Option<Self> {
        match value {
            Value::String(message_id) => Some(Self { message_id, refused: Vec::new() }),
            value => serde_json::from_value(value).ok(),
        }
    }
}

/// `request`: the redacted one, whose `to` has as many places as the mail has recipients.
pub(in crate::effects) fn by_person(request: &Value, answer: &Value) -> Result<Told, String> {
    const SHAPE: &str = "/answer: the Message-ID, or an object of messageId and refused (a list of recipient, its place in to from 0, code and message)";
    let sent = Sent::from_answer(answer.clone()).ok_or(SHAPE)?;
    if sent.message_id.is_empty() {
        return Err("/answer/messageId: a string".to_owned());
    }
    let recipients = request["to"].as_array().map_or(0, Vec::len);
    for (n, refusal) in sent.refused.iter().enumerate() {
        if refusal.recipient >= recipients {
            return Err(format!("/answer/refused/{n}/recipient: there are {recipients}, counted from 0"));
        }
        if !(500..=599).contains(&refusal.code) {
            return Err(format!("/answer/refused/{n}/code: 500 to 599"));
        }
    }
    Ok(Told { value: serde_json::json!(sent), line: None })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_older_hosts_journaled_is_still_an_answer() {
        let old = Sent { message_id: "<1@example.com>".to_owned(), refused: Vec::new() };
        assert_eq!(Sent::from_answer(json!("<1@example.com>")), Some(old.clone()));
        assert_eq!(Sent::from_answer(json!(old)), Some(old));
        for other in [json!(7), json!({}), json!({"messageId": 1}), json!({"messageId": "a", "refused": [{}]})] {
            assert_eq!(Sent::from_answer(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn a_person_may_say_either_and_is_told_what_does_not_fit() {
        let request = json!({"to": ["a***@example.com", "b***@example.com"]});
        let refused = |recipient: usize, code: u16| json!({"messageId": "<1@example.com>", "refused": [{"recipient": recipient, "code": code, "message": "no"}]});
        let told = by_person(&request, &json!("<1@example.com>")).expect("a Message-ID");
        assert_eq!(told.value, json!({"messageId": "<1@example.com>", "refused": []}));
        assert_eq!(by_person(&request, &refused(1, 550)).expect("sound").value, refused(1, 550));
        for (answer, place) in [
            (json!(""), "/answer/messageId"),
            (json!({"id": 1}), "/answer:"),
            (refused(2, 550), "/answer/refused/0/recipient"),
            (refused(0, 450), "/answer/refused/0/code"),
        ] {
            let error = by_person(&request, &answer).expect_err("does not fit");
            assert!(error.starts_with(place), "{error}");
        }
    }
}
