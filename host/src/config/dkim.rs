use lettre::message::dkim::{DkimSigningAlgorithm, DkimSigningKey};
use rsa::{
    RsaPrivateKey,
    pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey, LineEnding},
    pkcs8::{self, DecodePrivateKey, ObjectIdentifier},
    traits::PublicKeyParts,
};
use serde::{Deserialize, Serialize};

use super::Secret;

/// Ed25519 (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 8301 forbids less than 1,024 bits; a signature of more than 4,096 fits no line of a mail.
const RSA_BITS: std::ops::RangeInclusive<usize> = 1024..=4096;

/// A signature that says which domain answers for a mail (RFC 6376). The public key is in the DNS, at
/// `<selector>._domainkey.<domain>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dkim {
    /// The domain of `from`, or one above it.
    pub domain: String,
    pub selector: String,
    /// PEM. RSA as PKCS#1 or PKCS#8, Ed25519 as PKCS#8; the key says which.
    pub key: Secret,
}

impl Dkim {
    /// What is wrong with it, for mails from that domain.
    pub(super) fn findings(&self, from: &str, place: &str, out: &mut Vec<String>) {
        let from = from.to_ascii_lowercase();
        if !is_domain(&self.domain) {
            out.push(format!("{place}.domain: is no domain in lower case"));
        } else if from != self.domain && !from.ends_with(&format!(".{}", self.domain)) {
            out.push(format!(
                "{place}.domain: must be the domain of from or one above it, or receivers count it for nothing"
            ));
        }
        if !is_domain(&self.selector) {
            out.push(format!("{place}.selector: is a name in the DNS, such as \"usher-2030\""));
        }
        if let Err(message) = self.signing_key() {
            out.push(format!("{place}.key: {message}"));
        }
    }

    /// The key, as lettre takes it. The error repeats nothing of it.
    pub fn signing_key(&self) -> Result<DkimSigningKey, String> {
        let pem = self.key.expose();
        let (label, document) = pkcs8::SecretDocument::from_pem(pem)
            .map_err(|_| "is no PEM (-----BEGIN PRIVATE KEY-----), or one with a passphrase".to_owned())?;
        let rsa = match label {
            "RSA PRIVATE KEY" => RsaPrivateKey::from_pkcs1_pem(pem).map_err(|e| format!("is no RSA key: {e}"))?,
            "PRIVATE KEY" => {
                let info = pkcs8::PrivateKeyInfo::try_from(document.as_bytes())
                    .map_err(|e| format!("is no private key: {e}"))?;
                if info.algorithm.oid == ED25519 {
                    return ed25519(info.private_key);
                }
                RsaPrivateKey::from_pkcs8_pem(pem).map_err(|e| format!("is neither RSA nor Ed25519: {e}"))?
            }
            other => return Err(format!("is PEM of \"{other}\"; an RSA or Ed25519 private key is needed")),
        };
        let bits = rsa.size() * 8;
        if !RSA_BITS.contains(&bits) {
            return Err(format!("has {bits} bits; {} to {} are taken", RSA_BITS.start(), RSA_BITS.end()));
        }
        let pem = rsa.to_pkcs1_pem(LineEnding::LF).map_err(|e| format!("cannot be read: {e}"))?;
        DkimSigningKey::new(&pem, DkimSigningAlgorithm::Rsa).map_err(|e| e.to_string())
    }
}

/// lettre takes the bare seed, in base64; PKCS#8 wraps it in an OCTET STRING of 32 bytes.
fn ed25519(wrapped: &[u8]) -> Result<DkimSigningKey, String> {
    use base64::Engine as _;
    let seed = wrapped.strip_prefix(&[4, 32]).filter(|seed| seed.len() == 32).ok_or("is no Ed25519 key")?;
    let seed = secrecy::SecretString::from(base64::engine::general_purpose::STANDARD.encode(seed));
    DkimSigningKey::new(secrecy::ExposeSecret::expose_secret(&seed), DkimSigningAlgorithm::Ed25519)
        .map_err(|e| e.to_string())
}

/// Labels of letters, digits, `-` and `_`, joined by dots.
fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn dkim(domain: &str, selector: &str, key: &str) -> Dkim {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/auth/testkeys").join(key);
        let key = Secret::from_file(&path).expect("a file of ours");
        Dkim { domain: domain.to_owned(), selector: selector.to_owned(), key }
    }

    fn findings(dkim: &Dkim, from: &str) -> Vec<String> {
        let mut out = Vec::new();
        dkim.findings(from, "here", &mut out);
        out
    }

    #[test]
    fn keys_of_both_kinds_are_taken_for_the_domain_and_those_below_it() {
        for key in ["rsa.pem", "ed.pem"] {
            for from in ["example.com", "mail.example.com", "Mail.Example.com"] {
                assert_eq!(findings(&dkim("example.com", "s-1.2030", key), from), Vec::<String>::new(), "{key} {from}");
            }
        }
    }

    #[test]
    fn what_would_not_sign_or_count_is_a_finding_with_its_place() {
        for (domain, selector, key, place) in [
            ("example.org", "s", "rsa.pem", "here.domain"),
            ("ample.com", "s", "rsa.pem", "here.domain"),
            ("example.com.", "s", "rsa.pem", "here.domain"),
            ("exa mple.com", "s", "rsa.pem", "here.domain"),
            ("example.com", "", "rsa.pem", "here.selector"),
            ("example.com", "s; x=1", "rsa.pem", "here.selector"),
            ("example.com", "s", "ec.pem", "here.key"),
            ("example.com", "s", "rsa.pub.pem", "here.key"),
            ("example.com", "s", "README.md", "here.key"),
        ] {
            let found = findings(&dkim(domain, selector, key), "example.com");
            assert!(found.len() == 1 && found[0].starts_with(place), "{domain} {selector} {key}: {found:?}");
        }
    }
}
