use std::{collections::BTreeMap, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plugins {
    /// Under `--dev`, `.wasm` files here are published as they appear.
    pub dir: Option<PathBuf>,
    /// The operator's policy by plugin name. Absent means nothing is granted.
    pub policy: BTreeMap<String, GrantSet>,
    /// Ed25519 public keys, base64 or PEM. Where there is one, a component is taken only with a signature by one of them.
    pub trusted_keys: Vec<TrustedKey>,
    pub quarantine: Quarantine,
    /// A component is taken, and one that was only stored serves, only if recorded jobs do the same with it. Absent: nobody asks.
    pub require_verify: Option<RequireVerify>,
}

/// How a component that is to be published is held against recorded jobs of its types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequireVerify {
    /// Jobs that are run again, the newest first.
    pub last: u32,
}

impl Default for RequireVerify {
    fn default() -> Self {
        Self { last: 100 }
    }
}

/// When a release is taken out of service by itself: `bad` of its last `of` jobs, on one node or on all together, trapped
/// or ran into a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quarantine {
    /// Jobs that are looked at.
    pub of: u32,
    /// 0: never.
    pub bad: u32,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { of: 20, bad: 10 }
    }
}

/// What a plugin asks for (manifest) or may have (policy), by provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrantSet {
    /// Email profiles by name.
    pub email: Vec<String>,
    /// SMS profiles by name.
    pub sms: Vec<String>,
    /// Push profiles by name.
    pub push: Vec<String>,
    /// Upstreams by name.
    pub upstream: Vec<String>,
    /// Job types it may enqueue.
    pub jobs: Vec<String>,
    /// Event types it may publish to its tenants' webhook endpoints.
    pub webhook: Vec<String>,
    /// Stripe functions by their name in the contract, such as `create-refund`.
    pub stripe: Vec<String>,
    /// Solana functions by their name in the contract: `mint-nft`.
    pub solana: Vec<String>,
}

/// An Ed25519 public key: base64 of its 32 bytes, or PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustedKey(pub [u8; 32]);

/// What stands before the 32 bytes in DER (RFC 8410, section 10.1).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl TryFrom<String> for TrustedKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let inside = text.split_once("-----BEGIN PUBLIC KEY-----").map_or(Some(text.as_str()), |(_, rest)| {
            rest.split_once("-----END PUBLIC KEY-----").map(|(inside, _)| inside)
        });
        let bytes = inside.and_then(|text| BASE64.decode(text.split_whitespace().collect::<String>()).ok());
        bytes
            .and_then(|bytes| bytes.strip_prefix(SPKI.as_slice()).unwrap_or(&bytes).try_into().ok())
            .map(Self)
            .ok_or("is no Ed25519 public key: base64 of 32 bytes, or PEM (-----BEGIN PUBLIC KEY-----)")
    }
}

impl From<TrustedKey> for String {
    fn from(key: TrustedKey) -> Self {
        BASE64.encode(key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_key_is_base64_or_pem_and_nothing_else() {
        let pem = include_str!("../auth/testkeys/ed.pub.pem");
        let key = TrustedKey::try_from(pem.to_owned()).expect("a key");
        assert_eq!(TrustedKey::try_from(String::from(key)), Ok(key));
        for bad in ["", "x", "AAAA", include_str!("../auth/testkeys/ed.pem"), "-----BEGIN PUBLIC KEY-----"] {
            assert!(TrustedKey::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
