use std::{path::PathBuf, time::Duration};

use rsa::{RsaPublicKey, pkcs1::DecodeRsaPublicKey, pkcs8::DecodePublicKey, traits::PublicKeyParts};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Secret, Services, validate::is_loopback};

/// RSA keys with fewer bits can be broken, and those with more cost too much to check.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;

/// Who may sign tokens. Without an issuer `usher serve` does not start: there is no default secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    pub issuers: Vec<Issuer>,
    /// Of routes that strangers may ask, too.
    pub optional: OptionalAuth,
    pub services: Services,
}

/// What a bad token is on a route that asks for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionalAuth {
    /// As good as none; the answer says so.
    #[default]
    Lenient,
    /// 401.
    Strict,
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
    /// RS256, ES256, EdDSA: where a set of public keys is (RFC 7517).
    pub jwks: Option<Jwks>,
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

/// A set of keys that changes without us: at a URL, or in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwks {
    pub url: Option<String>,
    pub file: Option<PathBuf>,
    /// It is looked at again after this long; sooner when a token names a key that is not in it.
    #[serde(default = "ten_minutes", with = "humantime_serde")]
    pub refresh: Duration,
    /// Of one look.
    #[serde(default = "five_seconds", with = "humantime_serde")]
    pub timeout: Duration,
    /// The URL may be http://, to this machine itself.
    #[serde(default)]
    pub allow_http: bool,
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

impl Algorithm {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }
}

impl Issuer {
    pub(super) fn findings(&self, place: &str, out: &mut Vec<String>) {
        let sources = [
            ("secret", self.secret.is_some()),
            ("public_key", self.public_key.is_some()),
            ("jwks", self.jwks.is_some()),
        ];
        let given: Vec<_> = sources.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
        let (takes, said): (&[&str], _) = match self.algorithm {
            Algorithm::HS256 => (&["secret"], "a secret and nothing else"),
            _ => (&["public_key", "jwks"], "either a public_key or a jwks"),
        };
        if !matches!(given.as_slice(), [only] if takes.contains(only)) {
            let found = if given.is_empty() { "nothing".to_owned() } else { given.join(" and ") };
            out.push(format!("{place}: {} takes {said}; here is {found}", self.algorithm.as_str()));
            return;
        }
        if let Some(secret) = self.secret.as_ref().filter(|secret| secret.expose().len() < 32) {
            let length = secret.expose().len();
            out.push(format!("{place}.secret: has {length} bytes, HS256 needs at least 32: openssl rand -base64 48"));
        }
        if let Some(key) = &self.public_key {
            pem(self.algorithm, key.expose(), &format!("{place}.public_key"), out);
        }
        if let Some(jwks) = &self.jwks {
            jwks.findings(&format!("{place}.jwks"), out);
            if self.kid.is_some() {
                out.push(format!("{place}.kid: goes with one key; the keys of a JWKS have their own"));
            }
        }
        for (name, value) in [("kid", &self.kid), ("iss", &self.iss), ("aud", &self.aud)] {
            if value.as_ref().is_some_and(String::is_empty) {
                out.push(format!("{place}.{name}: is empty; leave it out to demand none"));
            }
        }
    }
}

fn pem(algorithm: Algorithm, key: &str, place: &str, out: &mut Vec<String>) {
    // A private key here would be a secret in the wrong place, and the verifier would not take it.
    if !key.contains("-----BEGIN PUBLIC KEY-----") && !key.contains("-----BEGIN RSA PUBLIC KEY-----") {
        out.push(format!("{place}: is no PEM public key (-----BEGIN PUBLIC KEY-----)"));
        return;
    }
    if algorithm != Algorithm::RS256 {
        return;
    }
    // What is none at all, the verifier says.
    let read = RsaPublicKey::from_public_key_pem(key).ok().or_else(|| RsaPublicKey::from_pkcs1_pem(key).ok());
    if let Some(bits) = read.map(|key| key.n().bits()).filter(|bits| !RSA_BITS.contains(bits)) {
        out.push(format!("{place}: has {bits} bits, {} to {} are taken", RSA_BITS.start(), RSA_BITS.end()));
    }
}

impl Jwks {
    fn findings(&self, place: &str, out: &mut Vec<String>) {
        match (&self.url, &self.file) {
            (Some(url), None) => self.url_finding(url, place, out),
            (None, Some(file)) => {
                if !file.is_file() {
                    out.push(format!("{place}.file: {}: there is no such file", file.display()));
                }
                if self.allow_http {
                    out.push(format!("{place}.allow_http: goes with url"));
                }
            }
            (Some(_), Some(_)) => out.push(format!("{place}: takes exactly one of url and file; there are both")),
            (None, None) => out.push(format!("{place}: takes exactly one of url and file; there is none")),
        }
        let day = Duration::from_secs(24 * 3600);
        if self.refresh < Duration::from_secs(1) || self.refresh > day {
            out.push(format!("{place}.refresh: 1 second to 1 day"));
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(30) {
            out.push(format!("{place}.timeout: more than 0 and at most 30 seconds"));
        }
    }

    /// Without the URL, which may hold a token.
    fn url_finding(&self, text: &str, place: &str, out: &mut Vec<String>) {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
            out.push(format!("{place}.url: is no URL such as https://id.example.com/.well-known/jwks.json"));
            return;
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            out.push(format!("{place}.url: holds a user, a password or a fragment"));
        }
        // Whoever can change the answer on the way decides who comes in.
        let is_local = is_loopback(host.trim_start_matches('[').trim_end_matches(']'));
        if url.scheme() == "http" && !(is_local && self.allow_http) {
            out.push(format!(
                "{place}.url: must begin with https://; http:// is for this machine itself, with allow_http = true"
            ));
        }
        if url.scheme() == "https" && self.allow_http {
            out.push(format!("{place}.allow_http: is true, and the URL is https"));
        }
    }
}
