//! The way out to addresses that tenants name.
//!
//! Owns: which addresses are of the open internet, and an HTTP client that connects to no other.
//! Refuses: private, loopback, link-local and other special addresses, written out in any notation or behind a name;
//! plain http; users and passwords in a URL. Redirects are answers; proxies of the environment are not used; nothing is
//! decompressed; at most 64 KiB of an answer are read.
//! Invariant: the address that was looked at is the one that is connected to.
//! Tables: none.

mod address;
mod client;
mod guard;

#[cfg(test)]
mod tests;

pub use self::client::{Egress, Reply, SendError, Settings};

/// Why a URL is not called. No variant holds the URL, which may hold somebody's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("is not a URL")]
    NotAUrl,
    #[error("is longer than 2,048 bytes")]
    TooLong,
    #[error("must begin with https://")]
    NotHttps,
    #[error("must not hold a user or a password")]
    Credentials,
    #[error("must not hold a fragment (#…)")]
    Fragment,
    #[error("leads to an address that is not of the open internet")]
    Private,
    #[error("names a host that cannot be resolved")]
    Unresolved,
}
