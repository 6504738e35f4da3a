use serde::{Deserialize, Serialize};

use super::{Secret, Services};

/// Who may sign tokens. Without an issuer `usher serve` does not start: there is no default secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    pub issuers: Vec<Issuer>,
    pub services: Services,
}

/// One trusted signer. The algorithm belongs to the key, never to the token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// For people, and for `usher token mint --issuer`.
    pub name: String,
    pub algorithm: Algorithm,
    /// HS256: at least 32 bytes.
    pub secret: Option<Secret>,
    /// RS256, ES256, EdDSA: the public key, PEM. Public, but it has the same two sources as a secret.
    pub public_key: Option<Secret>,
    /// The `kid` a token must carry, where given; where absent, tokens with any `kid` or none are tried.
    pub kid: Option<String>,
    /// Demanded where given.
    pub iss: Option<String>,
    /// Demanded where given.
    pub aud: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    HS256,
    RS256,
    ES256,
    EdDSA,
}
