//! Tokens that nobody with a right to it has made, or that are good no more. Whoever takes one of them has a hole.
//!
//! Nothing here needs a host or the other tests: `cargo xtask fuzz` sends the same ones.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

/// Keys of an attacker; no host trusts them.
const RSA: &[u8] = include_bytes!("../../host/src/auth/testkeys/rsa.pem");
const EC: &[u8] = include_bytes!("../../host/src/auth/testkeys/ec.pem");
const ED: &[u8] = include_bytes!("../../host/src/auth/testkeys/ed.pem");

/// What an attacker may know of a host: an HS256 issuer that demands no `iss` and `aud`, and the public keys (PEM) of others.
/// Its secret is for those forgeries that only lack what a good token has.
pub struct Target<'a> {
    pub secret: &'a [u8],
    pub public_keys: &'a [&'a str],
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// Those of an admin.
fn claims() -> Value {
    json!({ "userId": "mallory", "tenantId": "t1", "role": "admin", "exp": now() + 3_600 })
}

fn with(change: Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    if let Some(claims) = claims.as_object_mut() {
        claims.remove(name);
    }
    claims
}

fn head(alg: &str) -> Value {
    json!({ "alg": alg, "typ": "JWT" })
}

fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn signed(header: &str, claims: &str, algorithm: Algorithm, key: &EncodingKey) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap_or_default();
    format!("{message}.{signature}")
}

fn hmac(header: &Value, claims: &Value, secret: &[u8]) -> String {
    signed(&header.to_string(), &claims.to_string(), Algorithm::HS256, &EncodingKey::from_secret(secret))
}

fn bare(header: &Value, claims: &Value, signature: &[u8]) -> String {
    format!("{}.{}.{}", part(header.to_string()), part(claims.to_string()), part(signature))
}

/// Each with what it tries.
pub fn forgeries(target: &Target<'_>) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    unsigned(&mut all);
    confused(target, &mut all);
    own_keys(&mut all);
    torn(target, &mut all);
    lacking(target, &mut all);
    all
}

/// No signature, or one that is none.
fn unsigned(all: &mut Vec<(&'static str, String)>) {
    all.push(("alg none", bare(&head("none"), &claims(), b"")));
    all.push(("alg None", bare(&head("None"), &claims(), b"")));
    all.push(("alg NONE", bare(&head("NONE"), &claims(), b"")));
    all.push(("alg nOnE", bare(&head("nOnE"), &claims(), b"")));
    all.push(("alg none with a signature", bare(&head("none"), &claims(), b"signature")));
    all.push(("alg empty", bare(&head(""), &claims(), b"")));
    all.push(("alg null", bare(&json!({ "alg": null }), &claims(), b"")));
    all.push(("alg missing", bare(&json!({ "typ": "JWT" }), &claims(), b"")));
    all.push(("alg a list", bare(&json!({ "alg": ["none", "HS256"] }), &claims(), b"")));
    for (name, alg) in [
        ("HS256 without a signature", "HS256"),
        ("RS256 without a signature", "RS256"),
        ("ES256 without a signature", "ES256"),
        ("EdDSA without a signature", "EdDSA"),
    ] {
        all.push((name, bare(&head(alg), &claims(), b"")));
    }
    all.push(("HS256 of zeros", bare(&head("HS256"), &claims(), &[0; 32])));
    all.push(("ES256 with r and s zero (CVE-2022-21449)", bare(&head("ES256"), &claims(), &[0; 64])));
    all.push(("ES256 of a DER signature of zeros", bare(&head("ES256"), &claims(), &[0x30, 6, 2, 1, 0, 2, 1, 0])));
    all.push(("EdDSA of zeros", bare(&head("EdDSA"), &claims(), &[0; 64])));
    all.push(("RS256 of zeros", bare(&head("RS256"), &claims(), &[0; 256])));
}

/// A key is used for what it is not for.
fn confused(target: &Target<'_>, all: &mut Vec<(&'static str, String)>) {
    let right = EncodingKey::from_secret(target.secret);
    let say = |alg: &str| head(alg).to_string();
    for pem in target.public_keys {
        all.push(("HS256 with a public key as the secret", hmac(&head("HS256"), &claims(), pem.as_bytes())));
        all.push(("the same without its last newline", hmac(&head("HS256"), &claims(), pem.trim_end().as_bytes())));
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(&body).unwrap_or_default();
        all.push(("HS256 with the public key's DER", hmac(&head("HS256"), &claims(), &der)));
        all.push(("HS256 with the public key's base64", hmac(&head("HS256"), &claims(), body.as_bytes())));
    }
    all.push(("HS384 with the right secret", signed(&say("HS384"), &claims().to_string(), Algorithm::HS384, &right)));
    all.push(("HS512 with the right secret", signed(&say("HS512"), &claims().to_string(), Algorithm::HS512, &right)));
    for (name, alg) in [
        ("RS256 in the header, HS256 with the right secret", "RS256"),
        ("ES256 in the header, HS256 with the right secret", "ES256"),
        ("PS256 in the header, HS256 with the right secret", "PS256"),
        ("hs256 in small letters", "hs256"),
        ("alg with a space", "HS256 "),
    ] {
        all.push((name, hmac(&head(alg), &claims(), target.secret)));
    }
    let twice = r#"{"alg":"none","alg":"HS256","typ":"JWT"}"#;
    all.push(("alg twice", signed(twice, &claims().to_string(), Algorithm::HS256, &right)));
}

/// Signed well, by keys that are the attacker's, and by secrets that everybody tries.
fn own_keys(all: &mut Vec<(&'static str, String)>) {
    for (name, secret) in [
        ("an empty secret", &b""[..]),
        ("secret", b"secret"),
        ("changeme", b"changeme"),
        ("your-256-bit-secret", b"your-256-bit-secret"),
        ("32 zeros", &[0; 32]),
        ("null", b"null"),
    ] {
        all.push((name, hmac(&head("HS256"), &claims(), secret)));
    }
    let keys = [
        ("RS256 of another key", "RS256", Algorithm::RS256, EncodingKey::from_rsa_pem(RSA)),
        ("PS256 of another key", "PS256", Algorithm::PS256, EncodingKey::from_rsa_pem(RSA)),
        ("ES256 of another key", "ES256", Algorithm::ES256, EncodingKey::from_ec_pem(EC)),
        ("EdDSA of another key", "EdDSA", Algorithm::EdDSA, EncodingKey::from_ed_pem(ED)),
    ];
    for (name, alg, algorithm, key) in keys {
        let Ok(key) = key else { continue };
        all.push((name, signed(&head(alg).to_string(), &claims().to_string(), algorithm, &key)));
    }
    let mine = b"the attacker's own secret, 32 bytes";
    let brought = [
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("jwk", json!({ "kty": "oct", "k": part(mine) })),
    ];
    for (name, value) in brought {
        let mut header = head("HS256");
        header[name] = value;
        all.push((
            match name {
                "jku" => "a key that jku leads to",
                "x5u" => "a key that x5u leads to",
                "x5c" => "a key in x5c",
                _ => "a key in jwk",
            },
            hmac(&header, &claims(), mine),
        ));
    }
    for (name, kid, secret) in [
        ("kid leads to an empty file", "../../../../../../dev/null", &b""[..]),
        ("kid leads to a file that is known", "../../etc/hostname", b"localhost"),
        ("kid injects SQL", "x' UNION SELECT 'known' -- ", b"known"),
        ("kid injects a command", "key; cat /etc/passwd", b""),
        ("kid with a NUL", "main\u{0}", b""),
        ("kid with an escape and a newline", "\u{1b}[31mroot\r\nX-Admin: 1", b""),
        ("kid of another type of key", "__proto__", b"undefined"),
    ] {
        let mut header = head("HS256");
        header["kid"] = json!(kid);
        all.push((name, hmac(&header, &claims(), secret)));
    }
}

/// A good token, taken apart and put together otherwise.
fn torn(target: &Target<'_>, all: &mut Vec<(&'static str, String)>) {
    let users = hmac(&head("HS256"), &with(json!({ "role": "user" })), target.secret);
    let mut parts = users.split('.');
    let (header, payload, signature) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let admins = part(claims().to_string());
    all.push(("a user's signature under an admin's claims", format!("{header}.{admins}.{signature}")));
    let other = part(json!({ "alg": "HS256", "typ": "JWT", "x": 1 }).to_string());
    all.push(("another header over the same claims", format!("{other}.{payload}.{signature}")));
    all.push(("without its signature", format!("{header}.{payload}")));
    all.push(("with an empty signature", format!("{header}.{payload}.")));
    all.push(("without its last character", users[..users.len() - 1].to_owned()));
    all.push(("with one character more", format!("{users}A")));
    all.push(("a part more", format!("{users}.{signature}")));
    all.push(("five parts, as if it were encrypted", format!("{header}.{payload}.{payload}.{payload}.{signature}")));
    all.push(("a dot before", format!(".{users}")));
    all.push(("twice", format!("{users}.{users}")));
    all.push(("two tokens", format!("{users} {users}")));
    all.push(("quoted", format!("\"{users}\"")));
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    all.push(("a padded signature", format!("{header}.{payload}.{}", URL_SAFE.encode(&raw))));
    all.push(("a signature in hex", format!("{header}.{payload}.{}", hex(&raw))));
    all.push(("a signature cut in half", format!("{header}.{payload}.{}", part(&raw[..raw.len() / 2]))));
    // The last character of 32 bytes in base64 has bits that mean nothing: its neighbour is another text of the same bytes.
    let letters: Vec<_> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    let (cut, last) = signature.split_at(signature.len() - 1);
    let at = letters.iter().position(|letter| last.starts_with(*letter)).unwrap_or_default();
    let twin = format!("{cut}{}", letters[at ^ 1]);
    all.push(("a signature with another last character", format!("{header}.{payload}.{twin}")));
    all.push(("claims that are a list", bare(&head("HS256"), &json!([claims()]), &raw)));
    all.push(("nothing", ".".to_owned()));
    all.push(("two dots", "..".to_owned()));
    all.push(("a very long one", "x".repeat(9_000)));
}

/// Signed by the right key, and yet good for nothing.
fn lacking(target: &Target<'_>, all: &mut Vec<(&'static str, String)>) {
    let by = |claims: &Value| hmac(&head("HS256"), claims, target.secret);
    let now = now();
    for (name, claims) in [
        ("no exp", without("exp")),
        ("no tenant and no admin", {
            let mut claims = without("tenantId");
            claims["role"] = json!("user");
            claims
        }),
        ("no user", without("userId")),
        ("expired", with(json!({ "exp": now - 120 }))),
        ("expired long ago", with(json!({ "exp": 0 }))),
        ("exp negative", with(json!({ "exp": -1 }))),
        ("exp a text", with(json!({ "exp": (now + 3_600).to_string() }))),
        ("exp null", with(json!({ "exp": null }))),
        ("exp a list", with(json!({ "exp": [now + 3_600] }))),
        ("exp true", with(json!({ "exp": true }))),
        ("exp beyond all numbers", with(json!({ "exp": 1e300 }))),
        ("not yet", with(json!({ "nbf": now + 3_600 }))),
        ("nbf a text", with(json!({ "nbf": "never" }))),
        ("an empty tenant", with(json!({ "tenantId": "" }))),
        ("a tenant with a NUL", with(json!({ "tenantId": "t1\u{0}" }))),
        ("a tenant with a newline", with(json!({ "tenantId": "t1\nt2" }))),
        ("a tenant that is a list", with(json!({ "tenantId": ["t1", "t2"] }))),
        ("a long tenant", with(json!({ "tenantId": "t".repeat(129) }))),
        ("an empty user", with(json!({ "userId": "" }))),
        ("a user with an escape", with(json!({ "userId": "\u{1b}[2Jroot" }))),
        ("a user that is an object", with(json!({ "userId": { "$ne": null } }))),
        ("a long user", with(json!({ "userId": "u".repeat(256) }))),
        ("a role that is a list", with(json!({ "role": ["admin"] }))),
        ("an empty id", with(json!({ "jti": "" }))),
        ("an id that cannot be revoked", with(json!({ "jti": "j".repeat(256) }))),
        ("an id that is a number", with(json!({ "jti": 7 }))),
        ("an id with an escape", with(json!({ "jti": "\u{9b}31m" }))),
    ] {
        all.push((name, by(&claims)));
    }
    let mut critical = head("HS256");
    critical["crit"] = json!(["exp"]);
    all.push(("crit", hmac(&critical, &claims(), target.secret)));
    critical["crit"] = json!([]);
    all.push(("an empty crit", hmac(&critical, &claims(), target.secret)));
    critical["crit"] = json!(["b64"]);
    critical["b64"] = json!(false);
    all.push(("an unencoded payload (RFC 7797)", hmac(&critical, &claims(), target.secret)));
    let right = EncodingKey::from_secret(target.secret);
    let twice = format!(r#"{{"userId":"u","tenantId":"t1","role":"user","role":"admin","exp":{}}}"#, now + 3_600);
    all.push(("a role twice", signed(&head("HS256").to_string(), &twice, Algorithm::HS256, &right)));
    all.push(("claims that are no JSON", signed(&head("HS256").to_string(), "{", Algorithm::HS256, &right)));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
