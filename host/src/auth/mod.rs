//! Who may come in.
//!
//! Owns: verifying a JWT into a [`Caller`], and minting one for `usher token mint`.
//! Refuses: default secrets, algorithms that a token names for itself, keys that a token brings along.
//! Invariant: a `Caller` exists only after a signature was checked with a key whose algorithm we chose.
//! Tables: none.

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Absent for admins that act on no tenant.
    pub tenant: Option<String>,
    /// The user or service, for the record.
    pub subject: String,
    pub role: Role,
}

/// An unknown role is a plain user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Admin,
    VenueAdmin,
    User,
}
