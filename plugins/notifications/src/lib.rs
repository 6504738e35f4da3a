//! `send-email`: one mail to one address, from a template of the host's or as the payload words it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usher_plugin::{
    Failure, Job,
    email::{self, Message},
};

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mail {
    profile: Option<String>,
    to: String,
    template: Option<String>,
    data: Option<Map<String, Value>>,
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
}

/// What a mail is made of, once the payload's two forms are told apart.
#[derive(Debug, PartialEq)]
enum Content {
    Template { template: String, data: Map<String, Value> },
    Plain { subject: String, text: String, html: Option<String> },
}

/// The job's result.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    message_id: String,
}

impl Mail {
    fn content(self) -> Result<Content, Failure> {
        match self {
            Self { template: Some(template), data: Some(data), subject: None, text: None, html: None, .. } => {
                Ok(Content::Template { template, data })
            }
            Self { template: None, data: None, subject: Some(subject), text: Some(text), html, .. } => {
                Ok(Content::Plain { subject, text, html })
            }
            _ => Err(Failure::permanent("a mail has either a template with data or a subject with text")),
        }
    }
}

fn process(job: Job<Mail>) -> Result<Sent, Failure> {
    let mut mail = job.payload;
    let profile = mail.profile.take().unwrap_or_else(|| email::DEFAULT_PROFILE.to_owned());
    let to = std::mem::take(&mut mail.to);
    let message_id = match mail.content()? {
        Content::Template { template, data } => email::send_template(&profile, &[&to], &template, &data)?,
        Content::Plain { subject, text, html } => {
            let message = Message::new(to, subject, text).profile(profile);
            match html {
                Some(html) => message.html(html),
                None => message,
            }
            .send()?
        }
    };
    Ok(Sent { message_id })
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn content(payload: Value) -> Result<Content, Failure> {
        serde_json::from_value::<Mail>(payload).expect("fields as the schema has them").content()
    }

    #[test]
    fn a_payload_is_a_template_or_plain() {
        assert_eq!(
            content(json!({"to": "a@example.com", "template": "admin-alert", "data": {"n": 1}})),
            Ok(Content::Template { template: "admin-alert".to_owned(), data: Map::from_iter([("n".to_owned(), json!(1))]) })
        );
        assert_eq!(
            content(json!({"to": "a@example.com", "subject": "Hi", "text": "Hello"})),
            Ok(Content::Plain { subject: "Hi".to_owned(), text: "Hello".to_owned(), html: None })
        );
    }

    #[test]
    fn a_payload_of_both_or_neither_is_refused() {
        for payload in [
            json!({"to": "a@example.com"}),
            json!({"to": "a@example.com", "template": "t", "data": {}, "subject": "Hi", "text": "Hello"}),
            json!({"to": "a@example.com", "template": "t"}),
            json!({"to": "a@example.com", "subject": "Hi", "html": "<p>Hello"}),
        ] {
            assert!(matches!(content(payload.clone()), Err(Failure::Permanent(_))), "{payload}");
        }
    }
}
