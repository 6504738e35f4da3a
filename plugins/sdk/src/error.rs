use std::fmt;

use crate::raw::usher::plugin::types;

/// A final answer of the host that isn't success. Asking again gives the same one, so `?` in a plugin makes it a
/// [permanent failure](crate::Failure::Permanent).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The manifest or the operator's policy doesn't grant the call.
    Denied(String),
    /// The request makes no sense; nothing was sent.
    Invalid(String),
    /// The provider refused and did nothing.
    Rejected(Rejection),
}

/// A provider's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The provider's own word, an open set: `card_declined`, `550`.
    pub code: String,
    pub message: String,
    /// The protocol's status where it has one (HTTP, SMTP).
    pub status: Option<u16>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(message) => write!(f, "denied: {message}"),
            Self::Invalid(message) => write!(f, "invalid: {message}"),
            Self::Rejected(Rejection { code, message, .. }) => write!(f, "rejected ({code}): {message}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::Denied(message) => Self::Denied(message),
            types::Error::Invalid(message) => Self::Invalid(message),
            types::Error::Rejected(types::Rejection { code, message, status }) => {
                Self::Rejected(Rejection { code, message, status })
            }
        }
    }
}

impl Error {
    /// For what a call takes as JSON: a value that can't be written as JSON never reaches the host.
    pub(crate) fn unwritable(what: &str, error: &serde_json::Error) -> Self {
        Self::Invalid(format!("{what} can't be written as JSON: {error}"))
    }
}
