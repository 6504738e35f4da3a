use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use rsa::{BigUint, RsaPublicKey, traits::PublicKeyParts};
use serde::Deserialize;
use serde_json::Value;

use super::AuthError;
use crate::config::{Algorithm, Issuer, RSA_BITS};

/// Most keys of one set.
const MOST_KEYS: usize = 100;

/// What an issuer signs with, all of its one algorithm.
pub(super) enum Keys {
    /// Of the configuration; `kid` is demanded where it is given.
    One { kid: Option<String>, key: DecodingKey },
    /// Of a JWKS.
    Set(Vec<SetKey>),
}

pub(super) struct SetKey {
    kid: Option<String>,
    /// What it was made of: the same text is the same key.
    text: String,
    key: DecodingKey,
}

/// A set as it was read.
pub(super) struct ReadSet {
    pub keys: Vec<SetKey>,
    /// Keys that are not for us, and why.
    pub passed_over: Vec<String>,
}

impl Keys {
    pub fn of_config(issuer: &Issuer) -> Result<Self, AuthError> {
        let unusable = || AuthError::Key(issuer.name.clone());
        let pem = issuer.public_key.as_ref().map(|pem| pem.expose().as_bytes());
        let key = match (issuer.algorithm, &issuer.secret, pem) {
            (Algorithm::HS256, Some(secret), _) => Ok(DecodingKey::from_secret(secret.expose().as_bytes())),
            (Algorithm::RS256, _, Some(pem)) => DecodingKey::from_rsa_pem(pem),
            (Algorithm::ES256, _, Some(pem)) => DecodingKey::from_ec_pem(pem),
            (Algorithm::EdDSA, _, Some(pem)) => DecodingKey::from_ed_pem(pem),
            _ => return Err(unusable()),
        };
        Ok(Self::One { kid: issuer.kid.clone(), key: key.map_err(|_| unusable())? })
    }

    /// Those that a token of this key id may be signed with. A token that names none is for a set of one key only:
    /// otherwise a stranger's token would be tried with each.
    pub fn fitting<'a>(&'a self, kid: Option<&'a str>) -> Vec<&'a DecodingKey> {
        match self {
            Self::One { kid: demanded, key } if demanded.is_none() || demanded.as_deref() == kid => vec![key],
            Self::One { .. } => Vec::new(),
            Self::Set(keys) => match (kid, keys.as_slice()) {
                (None, [only]) => vec![&only.key],
                _ => keys.iter().filter(|key| key.kid.as_deref() == kid).map(|key| &key.key).collect(),
            },
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::One { .. } => 1,
            Self::Set(keys) => keys.len(),
        }
    }

    pub fn is_same(&self, other: &[SetKey]) -> bool {
        match self {
            Self::One { .. } => false,
            Self::Set(keys) => keys.iter().map(|key| &key.text).eq(other.iter().map(|key| &key.text)),
        }
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

/// As much of RFC 7517 and 7518 as public keys need.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private half.
    #[serde(default)]
    d: Value,
}

/// The keys of a set that are of the issuer's algorithm. Others in it are other people's, and no fault; what is no set is.
pub(super) fn read_set(text: &[u8], algorithm: Algorithm) -> Result<ReadSet, String> {
    let set: Jwks = serde_json::from_slice(text).map_err(|_| "is no JWKS ({\"keys\": [...]})".to_owned())?;
    if set.keys.len() > MOST_KEYS {
        return Err(format!("holds more than {MOST_KEYS} keys"));
    }
    let mut read = ReadSet { keys: Vec::new(), passed_over: Vec::new() };
    for (n, key) in set.keys.into_iter().enumerate() {
        let found = Jwk::deserialize(&key).map_err(|_| "is no JWK").and_then(|jwk| {
            let key = decoding_key(&jwk, algorithm)?;
            let text = format!("{:?} {:?} {:?} {:?} {:?}", jwk.kid, jwk.n, jwk.e, jwk.x, jwk.y);
            Ok(SetKey { kid: jwk.kid, text, key })
        });
        match found {
            Ok(key) => read.keys.push(key),
            Err(why) => read.passed_over.push(format!("key {n} {why}")),
        }
    }
    Ok(read)
}

fn decoding_key(jwk: &Jwk, algorithm: Algorithm) -> Result<DecodingKey, &'static str> {
    if jwk.kty == "oct" {
        return Err("is symmetric: who reads the set could sign with it");
    }
    if !jwk.d.is_null() {
        return Err("shows its private half");
    }
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err("is not for signatures (use)");
    }
    if jwk.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|operation| operation == "verify")) {
        return Err("is not for verifying (key_ops)");
    }
    if jwk.alg.as_deref().is_some_and(|alg| alg != algorithm.as_str()) {
        return Err("is for another algorithm (alg)");
    }
    match (algorithm, jwk.kty.as_str(), jwk.crv.as_deref()) {
        (Algorithm::RS256, "RSA", _) => rsa(&bytes(&jwk.n)?, &bytes(&jwk.e)?),
        (Algorithm::ES256, "EC", Some("P-256")) => {
            let (x, y) = (point(&jwk.x)?, point(&jwk.y)?);
            DecodingKey::from_ec_components(x, y).map_err(|_| "has no usable point (x, y)")
        }
        (Algorithm::EdDSA, "OKP", Some("Ed25519")) => {
            DecodingKey::from_ed_components(point(&jwk.x)?).map_err(|_| "has no usable point (x)")
        }
        _ => Err("is of another type (kty, crv)"),
    }
}

/// With an exponent that makes a lock of it: by e = 1 anybody's signature would do.
fn rsa(n: &[u8], e: &[u8]) -> Result<DecodingKey, &'static str> {
    let key = RsaPublicKey::new(BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
    let key = key.map_err(|_| "is no usable RSA key (n, e)")?;
    if !RSA_BITS.contains(&key.n().bits()) {
        return Err("has too few bits, or too many (2,048 to 4,096 are taken)");
    }
    Ok(DecodingKey::from_rsa_raw_components(n, e))
}

fn bytes(text: &Option<String>) -> Result<Vec<u8>, &'static str> {
    text.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or("lacks a part, or it is not base64url")
}

/// Of 256 bits, as both curves have them.
fn point(text: &Option<String>) -> Result<&str, &'static str> {
    if bytes(text)?.len() != 32 {
        return Err("has a point of another curve's length");
    }
    Ok(text.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn n(bits: usize) -> String {
        let mut bytes = vec![0xff; bits / 8];
        bytes[0] = 0x80;
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(algorithm: Algorithm, keys: &[Value]) -> (usize, Vec<String>) {
        let read = read_set(json!({ "keys": keys }).to_string().as_bytes(), algorithm).expect("a set");
        (read.keys.len(), read.passed_over)
    }

    #[test]
    fn only_keys_of_the_issuers_algorithm_are_taken() {
        let rsa = |change: Value| {
            let mut key = json!({ "kty": "RSA", "kid": "a", "n": n(2048), "e": "AQAB" });
            for (name, value) in change.as_object().expect("an object") {
                key[name] = value.clone();
            }
            key
        };
        assert_eq!(read(Algorithm::RS256, &[rsa(json!({}))]).0, 1);
        assert_eq!(read(Algorithm::RS256, &[rsa(json!({ "use": "sig", "alg": "RS256", "key_ops": ["verify"] }))]).0, 1);
        for (change, why) in [
            (json!({ "kty": "oct", "k": "c2VjcmV0" }), "symmetric"),
            (json!({ "use": "enc" }), "(use)"),
            (json!({ "key_ops": ["encrypt"] }), "(key_ops)"),
            (json!({ "alg": "PS256" }), "(alg)"),
            (json!({ "alg": "HS256" }), "(alg)"),
            (json!({ "n": n(1024) }), "too few bits"),
            (json!({ "n": n(8192) }), "no usable RSA key"),
            (json!({ "e": "AQ" }), "no usable RSA key"),
            (json!({ "n": "!" }), "base64url"),
            (json!({ "n": null }), "lacks a part"),
            (json!({ "d": "AQAB" }), "private half"),
            (json!({ "kty": "EC" }), "(kty, crv)"),
            (json!({ "kty": 7 }), "is no JWK"),
        ] {
            let (taken, passed_over) = read(Algorithm::RS256, &[rsa(change.clone())]);
            assert_eq!(taken, 0, "{change}");
            assert!(passed_over[0].contains(why), "{change}: {passed_over:?}");
        }
        let point = URL_SAFE_NO_PAD.encode([7; 32]);
        let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": point });
        assert_eq!(read(Algorithm::EdDSA, &[ed.clone(), rsa(json!({}))]).0, 1);
        assert_eq!(read(Algorithm::ES256, &[ed]).0, 0);
        let long = URL_SAFE_NO_PAD.encode([7; 48]);
        assert_eq!(read(Algorithm::ES256, &[json!({ "kty": "EC", "crv": "P-256", "x": long, "y": long })]).0, 0);
    }

    #[test]
    fn what_is_no_set_is_told() {
        for text in ["", "{}", "[]", "{\"keys\": {}}", "<html>"] {
            assert!(read_set(text.as_bytes(), Algorithm::RS256).is_err(), "{text}");
        }
        let many = json!({ "keys": vec![json!({}); MOST_KEYS + 1] }).to_string();
        assert!(read_set(many.as_bytes(), Algorithm::RS256).is_err());
    }

    #[test]
    fn a_token_without_a_key_id_is_for_a_set_of_one() {
        let keys = |kids: &[Option<&str>]| {
            let keys: Vec<_> =
                kids.iter().map(|kid| json!({ "kty": "OKP", "crv": "Ed25519", "x": n(256), "kid": kid })).collect();
            let text = json!({ "keys": keys }).to_string();
            Keys::Set(read_set(text.as_bytes(), Algorithm::EdDSA).expect("a set").keys)
        };
        assert_eq!(keys(&[Some("a")]).fitting(None).len(), 1);
        assert_eq!(keys(&[Some("a"), Some("b")]).fitting(None).len(), 0);
        assert_eq!(keys(&[Some("a"), Some("b")]).fitting(Some("b")).len(), 1);
        assert_eq!(keys(&[Some("a"), None]).fitting(Some("b")).len(), 0);
        assert_eq!(keys(&[Some("a"), None]).fitting(None).len(), 1);
    }
}
