//! Services: callers that sign their requests (RFC 9421) with a key of ours.

mod check;
mod keys;
mod nonces;
pub mod store;

pub(super) use self::keys::SUBJECT;
pub use self::{
    check::{Checked, Incoming, TENANT, forget_nonces},
    keys::ServiceKeys,
    store::{NewServiceKey, ServiceKey},
};
use crate::signature::Unsound;

/// Channel: a key was made, rotated or revoked.
pub const NEWS: &str = "usher_keys";

/// What a service's key may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// `None`: all, here and below.
    pub tenants: Option<Vec<String>>,
    pub job_types: Option<Vec<String>>,
}

impl Scope {
    pub fn has_tenant(&self, tenant: &str) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.iter().any(|own| own == tenant))
    }

    pub fn has_type(&self, job_type: &str) -> bool {
        self.job_types.as_ref().is_none_or(|types| types.iter().any(|own| own == job_type))
    }

    /// The only one there is.
    pub fn only_tenant(&self) -> Option<&String> {
        match self.tenants.as_deref() {
            Some([only]) => Some(only),
            _ => None,
        }
    }
}

/// Why a signed request is not let in. No variant holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error("service keys are off on this host: its operator has set no auth.services.key")]
    Off,
    #[error("{0}")]
    Unsound(Unsound),
    #[error("the request is signed with no key that this host knows")]
    NoKey,
    #[error("the request has several signatures with keys that this host knows; one is needed")]
    SeveralKeys,
    #[error("the algorithm of this key is hmac-sha256")]
    Algorithm,
    #[error("the signature does not cover {0}")]
    NotCovered(&'static str),
    #[error("the signature does not say when it was created")]
    NoTime,
    #[error("the signature is more than 5 minutes old")]
    Old,
    #[error("the signature was created in the future: is the clock right?")]
    Early,
    #[error("the signature has expired")]
    Expired,
    #[error("the signature needs a nonce of 1 to 128 characters, since the request changes something")]
    NoNonce,
    #[error("the nonce was used before")]
    NonceUsed,
    #[error("the signature does not match")]
    Mismatch,
    #[error("the signature is for a host of another name than this one's")]
    Authority,
    #[error("the body is not the one that Content-Digest describes by sha-256 or sha-512")]
    Digest,
    /// It is known who asks, and that is not theirs to ask.
    #[error("this key is not for the tenant that X-Tenant-ID names")]
    Tenant,
    /// Whether the nonce is fresh could not be found out.
    #[error("the nonce could not be looked up")]
    Unavailable,
}
