//! Text messages through a profile of the operator's: account, sender and credential are the host's. The manifest's
//! `[grants] sms` names the profiles.
//!
//! A message goes out at most once or at least once, by the profile's `on_doubt`; nothing marks a second one as a copy. A
//! provider that is down or says "later" is waited for by the host.

use serde::Serialize;

use crate::{Error, host, raw::usher::plugin::sms};

/// The profile of a message that names none.
pub const DEFAULT_PROFILE: &str = "default";

/// A message that the provider has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// The provider's.
    pub id: String,
    /// The provider's word, such as `queued`: it has not arrived yet.
    pub status: String,
}

/// A message whose text the plugin writes.
#[derive(Clone, Debug)]
#[must_use = "call send()"]
pub struct Message(sms::Message);

impl Message {
    /// `to`: E.164, such as `+4915112345678`. `text`: 1 to 1600 characters.
    pub fn new(to: impl Into<String>, text: impl Into<String>) -> Self {
        Self(sms::Message { profile: DEFAULT_PROFILE.to_owned(), to: to.into(), text: text.into() })
    }

    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.0.profile = profile.into();
        self
    }

    /// Returns once the provider has taken the message.
    pub fn send(self) -> Result<Sent, Error> {
        let sms::Sent { id, status } = host::send_text(&self.0)?;
        Ok(Sent { id, status })
    }
}
