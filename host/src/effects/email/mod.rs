//! Email over SMTP: profiles by name, four templates of the product, and an exact knowledge of how far a send came.
//!
//! Until the first byte of the message has left, a failure means that nothing was sent; from then on until the server's
//! reply it is doubt. That is why this module drives lettre's connection itself.

mod answer;
mod attachment;
mod mask;
mod message;
mod sign;
mod smtp;
mod templates;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

pub(super) use self::answer::by_person;
pub use self::{
    answer::{Refusal, Sent},
    attachment::Attachment,
};
use self::{
    message::{Draft, Letter},
    smtp::Server,
    templates::{Filled, Templates},
};
use super::{CallEnd, OnBehalf, Prepared, Provider, Refused, Sending};
use crate::{
    config::{Email, OnDoubt},
    journal::{Answer, Class},
    ratelimit::Bucket,
};

/// `usher:plugin/email`.
#[derive(Debug)]
pub enum Request {
    Send {
        profile: String,
        to: Vec<String>,
        subject: String,
        text: String,
        html: Option<String>,
        reply_to: Option<String>,
        attachments: Vec<Attachment>,
    },
    Template {
        profile: String,
        to: Vec<String>,
        template: String,
        data: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    #[error("email.profiles.{profile}: {message}")]
    Profile { profile: String, message: String },
    #[error("the host's mail templates are damaged: {0}")]
    Templates(String),
}

/// A checked mail and the server that takes it.
#[derive(Debug)]
pub struct Mail {
    letter: Letter,
    server: Arc<Server>,
}

/// The provider.
pub struct Smtp {
    servers: BTreeMap<String, Arc<Server>>,
    templates: Templates,
}

impl Smtp {
    pub fn new(config: &Email) -> Result<Self, EmailError> {
        let mut servers = BTreeMap::new();
        for (name, profile) in &config.profiles {
            let server =
                Server::new(profile).map_err(|message| EmailError::Profile { profile: name.clone(), message })?;
            servers.insert(name.clone(), Arc::new(server));
        }
        Ok(Self { servers, templates: Templates::new().map_err(|e| EmailError::Templates(e.to_string()))? })
    }

    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    /// Whether the profile's server answers, up to EHLO and TLS; no mail, no password.
    pub async fn probe(&self, profile: &str) -> Result<(), String> {
        match self.servers.get(profile) {
            Some(server) => server.probe().await,
            None => Err("there is no such profile".to_owned()),
        }
    }
}

impl Provider for Smtp {
    const NAME: &'static str = "email";
    type Request = Request;
    type Call = Mail;

    fn prepare(&self, who: &OnBehalf, request: Request) -> Result<Prepared<Mail>, Refused> {
        let (function, identity) = identify(&request);
        let refuse = |answer| Refused { function, identity: identity.clone(), answer };
        let (profile, template) = match &request {
            Request::Send { profile, .. } => (profile.clone(), None),
            Request::Template { profile, template, .. } => (profile.clone(), Some(template.clone())),
        };
        let server = match self.servers.get(&profile) {
            Some(server) if who.grants.email.contains(&profile) => Arc::clone(server),
            _ => return Err(refuse(Answer::Denied(format!("grants.email does not name the profile \"{profile}\"")))),
        };
        let letter = self.letter(&server, request).map_err(|message| refuse(Answer::Invalid(message)))?;
        let mut redacted = json!({
            "profile": profile,
            "to": letter.to.iter().map(|to| mask::address(to.email.as_ref())).collect::<Vec<_>>(),
            "template": template,
            "bytes": letter.bytes(),
        });
        if !letter.attachments.is_empty() {
            let bytes: usize = letter.attachments.iter().map(attachment::Attached::bytes).sum();
            redacted["attachments"] = json!({ "count": letter.attachments.len(), "bytes": bytes });
        }
        Ok(Prepared {
            function,
            class: match server.profile.on_doubt {
                OnDoubt::Resend => Class::Resend,
                OnDoubt::Park => Class::Once,
            },
            identity,
            redacted,
            timeout: server.profile.timeout,
            // Nothing is repeated by that.
            remembers: std::time::Duration::ZERO,
            bucket: Bucket::profile(Self::NAME, &profile),
            call: Mail { letter, server },
        })
    }

    async fn call(&self, sending: Sending, mail: &Mail) -> CallEnd {
        match mail.letter.message(sending.id, &mail.server.from, mail.server.signer.as_ref()) {
            Ok((message_id, bytes)) => mail.server.send(&mail.letter, &message_id, &bytes).await,
            // It was checked by `prepare`; nothing has been sent.
            Err(message) => CallEnd::Answer(Answer::Invalid(message)),
        }
    }
}

impl Smtp {
    fn letter(&self, server: &Server, request: Request) -> Result<Letter, String> {
        let draft = match request {
            Request::Send { to, subject, text, html, reply_to, attachments, .. } => {
                Draft { to, subject, text, html, reply_to, attachments }
            }
            Request::Template { to, template, data, .. } => {
                let Filled { subject, text, html } = self.templates.fill(&template, &data)?;
                Draft { to, subject, text, html: Some(html), reply_to: None, attachments: Vec::new() }
            }
        };
        Letter::new(&server.from, server.profile.max_attachments, draft)
    }
}

/// All that makes a mail what it is, as the guest said it: not the rendered text, since a host whose templates were
/// improved must still know the mail that an older one sent. Nor is there a word about attachments where there are none.
fn identify(request: &Request) -> (&'static str, serde_json::Value) {
    match request {
        Request::Send { profile, to, subject, text, html, reply_to, attachments } => {
            let mut identity = json!({
                "profile": profile, "to": to, "subject": subject, "text": text, "html": html, "replyTo": reply_to,
            });
            if !attachments.is_empty() {
                identity["attachments"] = attachments.iter().map(Attachment::identity).collect();
            }
            ("send", identity)
        }
        Request::Template { profile, to, template, data } => {
            ("send-template", json!({"profile": profile, "to": to, "template": template, "data": data}))
        }
    }
}

#[cfg(test)]
mod tests;
