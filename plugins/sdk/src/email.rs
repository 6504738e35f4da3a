//! Mail through a profile of the operator's: server, credentials and sender are the host's. The manifest's
//! `[grants] email` names the profiles.
//!
//! A mail goes out at most once or at least once, by the profile's `on_doubt`; a repeat carries the same Message-ID. A
//! server that is down or says "later" is waited for by the host.

use serde::Serialize;

use crate::{Error, raw::usher::plugin::email};

/// The profile of a message that names none.
pub const DEFAULT_PROFILE: &str = "default";

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

    /// Returns the Message-ID once the server has taken the mail.
    pub fn send(self) -> Result<String, Error> {
        Ok(email::send(&self.0)?)
    }
}

/// Sends a template that the host owns, filled from `data`, an object. Returns the Message-ID once the server has taken
/// the mail.
pub fn send_template(profile: &str, to: &[&str], template: &str, data: &impl Serialize) -> Result<String, Error> {
    let data = serde_json::to_string(data).map_err(|e| Error::unwritable("the template's data", &e))?;
    let to: Vec<_> = to.iter().map(|&address| address.to_owned()).collect();
    Ok(email::send_template(profile, &to, template, &data)?)
}
