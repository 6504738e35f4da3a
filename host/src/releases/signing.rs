use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::config::TrustedKey;

/// Why a publish is not taken, whatever the component is. None of these tells more of a key than its public half.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    #[error(
        "this host takes signed components only: sign the file (`usher plugin publish --sign KEY`), or put the signature beside it as FILE.wasm.sig"
    )]
    Missing,
    #[error("the signature is no base64 of 64 bytes (Ed25519)")]
    Malformed,
    #[error("the signature is not one of these bytes by a key in plugins.trusted_keys")]
    Untrusted,
    #[error("{0}")]
    Key(&'static str),
}

/// Checks a detached signature (base64) of a component; returns the key that made it, base64. Nothing to check where
/// no key is trusted: `None`.
pub fn verify(trusted: &[TrustedKey], bytes: &[u8], signature: Option<&str>) -> Result<Option<String>, SigningError> {
    if trusted.is_empty() {
        return Ok(None);
    }
    let signature = BASE64.decode(signature.ok_or(SigningError::Missing)?.trim()).ok();
    let signature = signature.filter(|bytes| bytes.len() == 64).ok_or(SigningError::Malformed)?;
    let signer = trusted.iter().find(|key| UnparsedPublicKey::new(&ED25519, key.0).verify(bytes, &signature).is_ok());
    signer.map(|key| Some(BASE64.encode(key.0))).ok_or(SigningError::Untrusted)
}

/// Signs a component with a private key in PEM (PKCS #8, as `openssl genpkey -algorithm ed25519` writes it). Returns the
/// signature and the public key, base64.
pub fn sign(pem: &str, bytes: &[u8]) -> Result<(String, String), SigningError> {
    let bad = SigningError::Key(
        "is no Ed25519 private key in PEM; make one: openssl genpkey -algorithm ed25519 -out plugin.key",
    );
    let inside = pem
        .split_once("-----BEGIN PRIVATE KEY-----")
        .and_then(|(_, rest)| rest.split_once("-----END PRIVATE KEY-----"));
    let der = inside.and_then(|(text, _)| BASE64.decode(text.split_whitespace().collect::<String>()).ok());
    // "Maybe unchecked": OpenSSL leaves the public half out, so there is nothing to check it against.
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der.ok_or(bad.clone())?).map_err(|_| bad)?;
    Ok((BASE64.encode(pair.sign(bytes)), BASE64.encode(pair.public_key())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: &str = include_str!("../auth/testkeys/ed.pem");
    const PUBLIC: &str = include_str!("../auth/testkeys/ed.pub.pem");

    #[test]
    fn a_signature_is_good_for_its_bytes_and_its_key_only() {
        let (signature, key) = sign(PRIVATE, b"component").expect("signs");
        let trusted = [TrustedKey([7; 32]), TrustedKey::try_from(PUBLIC.to_owned()).expect("a key")];
        assert_eq!(verify(&trusted, b"component", Some(&signature)), Ok(Some(key)));
        assert_eq!(verify(&trusted, b"component.", Some(&signature)), Err(SigningError::Untrusted));
        assert_eq!(verify(&trusted[..1], b"component", Some(&signature)), Err(SigningError::Untrusted));
        assert_eq!(verify(&trusted, b"component", None), Err(SigningError::Missing));
        assert_eq!(verify(&trusted, b"component", Some("AAAA")), Err(SigningError::Malformed));
        assert_eq!(verify(&[], b"component", None), Ok(None), "nobody asks for one");
        for bad in ["", "x", "AAAA", PUBLIC] {
            assert!(matches!(sign(bad, b""), Err(SigningError::Key(_))), "{bad}");
        }
    }
}
