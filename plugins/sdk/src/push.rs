//! Push notifications through a profile of the operator's: project and credential are the host's. The manifest's
//! `[grants] push` names the profiles.
//!
//! A notification goes out at most once or at least once, by the profile's `on_doubt`; of its copies a device shows the last
//! one. A provider that is down or says "later" is waited for by the host.

use serde::Serialize;

use crate::{Error, host, raw::usher::plugin::push};

/// The profile of a notification that names none.
pub const DEFAULT_PROFILE: &str = "default";

/// The code of the refusal of a token that is no longer good: forget it.
pub const UNREGISTERED: &str = "UNREGISTERED";

/// A notification that the provider has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// The provider's.
    pub id: String,
}

/// What an app shows.
#[derive(Clone, Debug)]
#[must_use = "call send()"]
pub struct Notification(push::Notification);

impl Notification {
    /// To one installation of an app, by its registration token.
    pub fn to_token(token: impl Into<String>, title: impl Into<String>, body: impl Into<String>) -> Self {
        Self::new(push::Target::Token(token.into()), title.into(), body.into())
    }

    /// To all that have subscribed to a topic.
    pub fn to_topic(topic: impl Into<String>, title: impl Into<String>, body: impl Into<String>) -> Self {
        Self::new(push::Target::Topic(topic.into()), title.into(), body.into())
    }

    fn new(target: push::Target, title: String, body: String) -> Self {
        Self(push::Notification { profile: DEFAULT_PROFILE.to_owned(), target, title, body, data: Vec::new() })
    }

    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.0.profile = profile.into();
        self
    }

    /// For the app. Each key once; `from`, `message_type` and what begins with `google` or `gcm` are refused.
    pub fn data(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.data.push((key.into(), value.into()));
        self
    }

    /// Returns once the provider has taken the notification.
    pub fn send(self) -> Result<Sent, Error> {
        let push::Sent { id } = host::send_notification(&self.0)?;
        Ok(Sent { id })
    }
}
