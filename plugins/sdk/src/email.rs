//! Mail through a profile of the operator's: server, credentials and sender are the host's. The manifest's
//! `[grants] email` names the profiles.
//!
//! A mail goes out at most once or at least once, by the profile's `on_doubt`; a repeat carries the same Message-ID. A
//! server that is down or says "later" is waited for by the host.

use serde::Serialize;

use crate::{Error, host, raw::usher::plugin::email};

/// The profile of a message that names none.
pub const DEFAULT_PROFILE: &str = "default";

/// A mail that the server has taken, for at least one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    pub message_id: String,
    /// Who does not get it.
    pub refused: Vec<Refusal>,
}

/// A recipient that the server refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// As the message had it.
    pub recipient: String,
    /// SMTP: 500 to 599.
    pub code: u16,
    /// The server's words, with addresses shortened.
    pub message: String,
}

impl From<email::Sent> for Sent {
    fn from(sent: email::Sent) -> Self {
        let refused =
            sent.refused.into_iter().map(|no| Refusal { recipient: no.recipient, code: no.code, message: no.message });
        Self { message_id: sent.message_id, refused: refused.collect() }
    }
}

/// A mail whose text the plugin writes.
#[derive(Clone, Debug)]
#[must_use = "call send()"]
pub struct Message(email::Message);

impl Message {
    /// To one address, in plain text.
    pub fn new(to: impl Into<String>, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self(email::Message {
            profile: DEFAULT_PROFILE.to_owned(),
            to: vec![to.into()],
            subject: subject.into(),
            text: text.into(),
            html: None,
            reply_to: None,
            attachments: Vec::new(),
        })
    }

    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.0.profile = profile.into();
        self
    }

    /// One more address. All of them see each other.
    pub fn also_to(mut self, to: impl Into<String>) -> Self {
        self.0.to.push(to.into());
        self
    }

    /// The same content for mail programs that show HTML.
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.0.html = Some(html.into());
        self
    }

    pub fn reply_to(mut self, address: impl Into<String>) -> Self {
        self.0.reply_to = Some(address.into());
        self
    }

    /// One more file: its name, such as `invoice.pdf`, its type, such as `application/pdf`, and its bytes. The operator's
    /// profile says how many bytes all of them may have (1 MiB by default).
    pub fn attach(
        mut self,
        name: impl Into<String>,
        content_type: impl Into<String>,
        content: impl Into<Vec<u8>>,
    ) -> Self {
        let (name, content_type, content) = (name.into(), content_type.into(), content.into());
        self.0.attachments.push(email::Attachment { name, content_type, content });
        self
    }

    /// Returns once the server has taken the mail for at least one recipient.
    pub fn send(self) -> Result<Sent, Error> {
        Ok(host::send(&self.0)?.into())
    }
}

/// Sends a template that the host owns, filled from `data`, an object. Returns once the server has taken the mail for at
/// least one recipient.
pub fn send_template(profile: &str, to: &[&str], template: &str, data: &impl Serialize) -> Result<Sent, Error> {
    let data = serde_json::to_string(data).map_err(|e| Error::unwritable("the template's data", &e))?;
    let to: Vec<_> = to.iter().map(|&address| address.to_owned()).collect();
    Ok(host::send_template(profile, &to, template, &data)?.into())
}
