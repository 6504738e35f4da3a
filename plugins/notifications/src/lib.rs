//! `send-email`: one mail, from a template of the host's or as the payload words it, with attachments. The result says
//! whom the server refused.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_plugin::{
    Failure, Job,
    email::{self, Message, Sent},
};

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mail {
    profile: Option<String>,
    to: To,
    template: Option<String>,
    data: Option<Map<String, Value>>,
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
    reply_to: Option<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum To {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Attachment {
    name: String,
    content_type: String,
    /// Base64 (RFC 4648, section 4).
    content: String,
}

/// What a mail is made of, once the payload's two forms are told apart.
#[derive(Debug, PartialEq)]
enum Content {
    Template { template: String, data: Map<String, Value> },
    Plain { subject: String, text: String, html: Option<String>, reply_to: Option<String>, files: Vec<File> },
}

#[derive(Debug, PartialEq)]
struct File {
    name: String,
    content_type: String,
    content: Vec<u8>,
}

impl Mail {
    fn content(self) -> Result<Content, Failure> {
        let Self { template, data, subject, text, html, reply_to, attachments, .. } = self;
        match (template, data, subject, text) {
            (Some(template), Some(data), None, None)
                if html.is_none() && reply_to.is_none() && attachments.is_empty() =>
            {
                Ok(Content::Template { template, data })
            }
            (None, None, Some(subject), Some(text)) => {
                let files = attachments.into_iter().enumerate().map(file).collect::<Result<_, _>>()?;
                Ok(Content::Plain { subject, text, html, reply_to, files })
            }
            _ => Err(Failure::permanent("a mail has either a template with data or a subject with text")),
        }
    }
}

fn file((n, attachment): (usize, Attachment)) -> Result<File, Failure> {
    let Attachment { name, content_type, content } = attachment;
    match STANDARD.decode(&content) {
        Ok(content) => Ok(File { name, content_type, content }),
        Err(error) => Err(Failure::permanent(format_args!("/attachments/{n}/content: is no base64: {error}"))),
    }
}

fn process(job: Job<Mail>) -> Result<Sent, Failure> {
    let mut mail = job.payload;
    let profile = mail.profile.take().unwrap_or_else(|| email::DEFAULT_PROFILE.to_owned());
    let to = match std::mem::replace(&mut mail.to, To::Many(Vec::new())) {
        To::One(to) => vec![to],
        To::Many(to) => to,
    };
    let sent = match mail.content()? {
        Content::Template { template, data } => {
            let to: Vec<_> = to.iter().map(String::as_str).collect();
            email::send_template(&profile, &to, &template, &data)?
        }
        Content::Plain { subject, text, html, reply_to, files } => {
            let mut to = to.into_iter();
            let first = to.next().ok_or_else(|| Failure::permanent("/to: nobody is there"))?;
            let mut message = to.fold(Message::new(first, subject, text).profile(profile), Message::also_to);
            if let Some(html) = html {
                message = message.html(html);
            }
            if let Some(reply_to) = reply_to {
                message = message.reply_to(reply_to);
            }
            for File { name, content_type, content } in files {
                message = message.attach(name, content_type, content);
            }
            message.send()?
        }
    };
    Ok(sent)
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_plugin::testing::Host;

    use super::*;

    fn content(payload: Value) -> Result<Content, Failure> {
        serde_json::from_value::<Mail>(payload).expect("fields as the schema has them").content()
    }

    fn plain(files: Vec<File>) -> Content {
        Content::Plain { subject: "Hi".to_owned(), text: "Hello".to_owned(), html: None, reply_to: None, files }
    }

    #[test]
    fn a_payload_is_a_template_or_plain() {
        assert_eq!(
            content(json!({"to": "a@example.com", "template": "admin-alert", "data": {"n": 1}})),
            Ok(Content::Template {
                template: "admin-alert".to_owned(),
                data: Map::from_iter([("n".to_owned(), json!(1))])
            })
        );
        assert_eq!(content(json!({"to": "a@example.com", "subject": "Hi", "text": "Hello"})), Ok(plain(Vec::new())));
    }

    #[test]
    fn attachments_are_decoded_and_what_is_no_base64_is_told_by_place() {
        let payload = |content: &str| {
            json!({"to": ["a@example.com", "b@example.com"], "subject": "Hi", "text": "Hello",
                   "attachments": [{"name": "a.bin", "contentType": "application/octet-stream", "content": content}]})
        };
        let file = File {
            name: "a.bin".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            content: vec![0, 255, 16],
        };
        assert_eq!(content(payload("AP8Q")), Ok(plain(vec![file])));
        for wrong in ["AP8", "AP 8Q", "AP8-", "é"] {
            let Err(Failure::Permanent(message)) = content(payload(wrong)) else { panic!("{wrong} is taken") };
            assert!(message.starts_with("/attachments/0/content"), "{message}");
        }
    }

    #[test]
    fn a_payload_of_both_or_neither_is_refused() {
        for payload in [
            json!({"to": "a@example.com"}),
            json!({"to": "a@example.com", "template": "t", "data": {}, "subject": "Hi", "text": "Hello"}),
            json!({"to": "a@example.com", "template": "t"}),
            json!({"to": "a@example.com", "subject": "Hi", "html": "<p>Hello"}),
            json!({"to": "a@example.com", "template": "t", "data": {}, "replyTo": "b@example.com"}),
            json!({"to": "a@example.com", "template": "t", "data": {},
                   "attachments": [{"name": "a", "contentType": "a/b", "content": ""}]}),
        ] {
            assert!(matches!(content(payload.clone()), Err(Failure::Permanent(_))), "{payload}");
        }
    }
    #[test]
    fn who_is_refused_is_told_as_the_payload_had_them() {
        let mut host = Host::new().ok(json!({
            "messageId": "<1@example.com>", "refused": [{"recipient": 1, "code": 550, "message": "no such user"}],
        }));
        let payload = json!({"to": ["a@example.com", "b@example.com"], "subject": "Hi", "text": "Hello"});
        let mail = serde_json::from_value(payload).expect("fields as the schema has them");
        let sent = host.run(|| process(Job::sample("send-email", mail))).expect("sent");
        assert_eq!(sent.refused[0].recipient, "b@example.com");
        assert_eq!(host.effects()[0].request["profile"], "default");
    }

    #[test]
    fn a_template_is_filled_by_the_host() {
        let mut host = Host::new().ok(json!({"messageId": "<1@example.com>"}));
        let payload = json!({"to": "a@example.com", "template": "admin-alert", "data": {"title": "t"}});
        let mail = serde_json::from_value(payload).expect("fields as the schema has them");
        host.run(|| process(Job::sample("send-email", mail))).expect("sent");
        assert_eq!(host.effects()[0].call, "email.send-template");
        assert_eq!(host.effects()[0].request["data"], json!({"title": "t"}));
    }
}
