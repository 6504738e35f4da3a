//! Behaviours that call providers. With `catch`, a refusal is the result; without, it fails the job.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_plugin::{
    Error, Failure,
    email::{self, Message, Sent},
    raw,
    upstream::{Method, Request},
};

use crate::described;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    to: Option<String>,
    #[serde(default)]
    also: Vec<String>,
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
    reply_to: Option<String>,
    profile: Option<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
    #[serde(default)]
    catch: bool,
}

/// `size`: so many bytes of all values in turn.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    name: String,
    content_type: String,
    size: u32,
}

#[derive(Debug, Deserialize)]
pub struct MailTemplate {
    to: Option<String>,
    template: String,
    data: Map<String, Value>,
    profile: Option<String>,
    #[serde(default)]
    catch: bool,
}

#[derive(Debug, Deserialize)]
pub struct Call {
    upstream: Option<String>,
    method: Option<String>,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    #[serde(default)]
    catch: bool,
}

fn recipient(to: Option<&str>) -> &str {
    to.unwrap_or("guest@example.com")
}

impl Mail {
    pub fn titled(&self, title: &str) -> Self {
        let subject = self.subject.as_deref().unwrap_or("guest");
        Self { subject: Some(format!("{subject} {title}")), ..self.clone() }
    }

    pub fn send(&self) -> Result<Value, Failure> {
        let subject = self.subject.as_deref().unwrap_or("guest");
        let mut message = Message::new(recipient(self.to.as_deref()), subject, self.text.as_deref().unwrap_or("Hello."));
        if let Some(profile) = &self.profile {
            message = message.profile(profile);
        }
        if let Some(html) = &self.html {
            message = message.html(html);
        }
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to);
        }
        for Attachment { name, content_type, size } in &self.attachments {
            let content: Vec<_> = (0..*size).map(|n| n.to_le_bytes()[0]).collect();
            message = message.attach(name, content_type, content);
        }
        let message = self.also.iter().fold(message, Message::also_to);
        sent(message.send(), self.catch)
    }
}

impl MailTemplate {
    pub fn send(&self) -> Result<Value, Failure> {
        let profile = self.profile.as_deref().unwrap_or(email::DEFAULT_PROFILE);
        let to = recipient(self.to.as_deref());
        sent(email::send_template(profile, &[to], &self.template, &self.data), self.catch)
    }
}

fn sent(result: Result<Sent, Error>, catch: bool) -> Result<Value, Failure> {
    caught(result.map(|sent| json!(sent)), catch)
}

fn caught(result: Result<Value, Error>, catch: bool) -> Result<Value, Failure> {
    match result {
        Err(error) if catch => Ok(described(&error)),
        result => Ok(result?),
    }
}

impl Call {
    pub fn call(self) -> Result<Value, Failure> {
        let method = match self.method.as_deref().unwrap_or("get") {
            "get" => Method::Get,
            "head" => Method::Head,
            "post" => Method::Post,
            "put" => Method::Put,
            "patch" => Method::Patch,
            "delete" => Method::Delete,
            other => return Err(Failure::permanent(format_args!("no method: {other}"))),
        };
        let mut request = Request::new(method, self.upstream.as_deref().unwrap_or("rig"), self.path);
        for (name, value) in self.query {
            request = request.query(name, value);
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = self.body {
            request = request.body(body);
        }
        let answer = request.call().map(|response| {
            json!({
                "status": response.status,
                "headers": response.headers,
                "body": String::from_utf8_lossy(&response.body),
            })
        });
        caught(answer, self.catch)
    }
}

pub fn mail_to_many(count: usize) -> Result<(), Failure> {
    let message = raw::usher::plugin::email::Message {
        profile: email::DEFAULT_PROFILE.to_owned(),
        to: vec!["x".to_owned(); count],
        subject: "many".to_owned(),
        text: "Hello.".to_owned(),
        html: None,
        reply_to: None,
        attachments: Vec::new(),
    };
    raw::usher::plugin::email::send(&message).map_err(Error::from)?;
    Ok(())
}

pub fn call_with_many_headers(count: usize) -> Result<(), Failure> {
    let mut request = Request::get("rig", "/");
    for _ in 0..count {
        request = request.header("x", "");
    }
    request.call()?;
    Ok(())
}
