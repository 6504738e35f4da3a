//! Who may come in.
//!
//! Owns: verifying a JWT into a [`Caller`], the keys of issuers (also those that change without us), the tokens that are
//! revoked, and minting one for `usher token mint`; verifying a service's signed request into a caller, the keys for that, and
//! the nonces that were seen.
//! Refuses: default secrets, algorithms that a token or a signature names for itself, keys that a token brings along, a signed
//! request that comes again.
//! Invariant: a `Caller` exists only after a signature was checked with a key whose algorithm we chose; no request with a token
//! asks the database who it is.
//! Tables: revocations, revocation_news, service_keys, key_news, nonces.

mod jwks;
mod keys;
mod mint;
mod revoke;
mod revoked;
mod seen;
pub mod service;
pub mod store;
mod verify;

use std::sync::Arc;

pub(crate) use self::verify::{is_jti, is_tenant};
pub use self::{
    mint::{MintClaims, mint},
    revoke::{CacheStats, RevokeError},
    service::{Scope, ServiceError, ServiceKeys},
    verify::Verifier,
};

/// Channel: a token was revoked.
pub const REVOKED: &str = "usher_revoked";

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Absent for admins that act on no tenant.
    pub tenant: Option<String>,
    /// The user or service, for the record.
    pub subject: String,
    pub role: Role,
    /// Of a service that signed its request: what its key may do. A token has none.
    pub scope: Option<Arc<Scope>>,
}

/// An unknown role is a plain user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Admin,
    VenueAdmin,
    User,
    /// A key's only: submits for the tenants and job types of its scope, and reads.
    Service,
}

impl Role {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("admin") => Self::Admin,
            Some("venue_admin") => Self::VenueAdmin,
            _ => Self::User,
        }
    }
}

/// Why somebody does not come in. No variant holds the token or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("a bearer token is needed")]
    Missing,
    #[error("the token is no JWT")]
    Malformed,
    #[error("no issuer takes tokens with this algorithm and key id")]
    NoIssuer,
    #[error("the signature does not match")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Early,
    #[error("the token has no {0}")]
    MissingClaim(&'static str),
    #[error("the token is from another issuer or for another audience")]
    Elsewhere,
    #[error("the claim {0} is not usable")]
    BadClaim(&'static str),
    #[error("the token demands extensions that nobody here knows (crit)")]
    Critical,
    #[error("the token is revoked")]
    Revoked,
    #[error("issuer \"{0}\": the key is not usable for its algorithm")]
    Key(String),
    #[error("issuer \"{0}\" cannot sign: only HS256 secrets can mint tokens")]
    CannotSign(String),
    #[error("only an admin may have no tenant: say --tenant")]
    NeedsTenant,
}

#[cfg(test)]
mod tests;
