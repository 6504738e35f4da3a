use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{AuthError, Caller, MintClaims, Role, Verifier, mint};
use crate::config::{Algorithm, Auth, Issuer, Secret};

const RSA: &str = include_str!("testkeys/rsa.pem");
const EC: &str = include_str!("testkeys/ec.pem");
const ED: &str = include_str!("testkeys/ed.pem");

fn key_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/auth/testkeys").join(name)
}

fn issuer(algorithm: Algorithm, file: &str) -> Issuer {
    let secret = Some(Secret::from_file(&key_file(file)).expect("a test key"));
    let (secret, public_key) = if algorithm == Algorithm::HS256 { (secret, None) } else { (None, secret) };
    Issuer { name: "test".to_owned(), algorithm, secret, public_key, jwks: None, kid: None, iss: None, aud: None }
}

/// The HS256 secret of these tests is the README's text.
fn hs() -> Issuer {
    issuer(Algorithm::HS256, "README.md")
}

fn hs_key() -> EncodingKey {
    EncodingKey::from_secret(hs().secret.expect("set").expose().as_bytes())
}

fn verifier(issuers: Vec<Issuer>) -> Verifier {
    Verifier::new(&Auth { issuers, ..Auth::default() }).expect("usable keys")
}

fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    i64::try_from(now).expect("fits") + seconds
}

fn claims() -> Value {
    json!({"userId": "u1", "tenantId": "t1", "role": "venue_admin", "exp": in_seconds(60)})
}

fn sign(algorithm: jsonwebtoken::Algorithm, claims: &Value, key: &EncodingKey) -> String {
    encode(&Header::new(algorithm), claims, key).expect("signs")
}

#[test]
fn each_algorithm_lets_its_own_key_in() {
    let caller =
        Caller { tenant: Some("t1".to_owned()), subject: "u1".to_owned(), role: Role::VenueAdmin, scope: None };
    let cases = [
        (hs(), jsonwebtoken::Algorithm::HS256, hs_key()),
        (
            issuer(Algorithm::RS256, "rsa.pub.pem"),
            jsonwebtoken::Algorithm::RS256,
            EncodingKey::from_rsa_pem(RSA.as_bytes()).expect("key"),
        ),
        (
            issuer(Algorithm::ES256, "ec.pub.pem"),
            jsonwebtoken::Algorithm::ES256,
            EncodingKey::from_ec_pem(EC.as_bytes()).expect("key"),
        ),
        (
            issuer(Algorithm::EdDSA, "ed.pub.pem"),
            jsonwebtoken::Algorithm::EdDSA,
            EncodingKey::from_ed_pem(ED.as_bytes()).expect("key"),
        ),
    ];
    for (issuer, algorithm, key) in cases {
        assert_eq!(
            verifier(vec![issuer]).verify(&sign(algorithm, &claims(), &key)),
            Ok(caller.clone()),
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_token_does_not_choose_its_algorithm() {
    let rsa = || verifier(vec![issuer(Algorithm::RS256, "rsa.pub.pem")]);
    // The classic: HS256 with the public key as the secret.
    let public = std::fs::read(key_file("rsa.pub.pem")).expect("a test key");
    let forged = sign(jsonwebtoken::Algorithm::HS256, &claims(), &EncodingKey::from_secret(&public));
    assert_eq!(rsa().verify(&forged), Err(AuthError::NoIssuer));
    // Another HMAC of the right secret.
    let other = sign(jsonwebtoken::Algorithm::HS512, &claims(), &hs_key());
    assert_eq!(verifier(vec![hs()]).verify(&other), Err(AuthError::NoIssuer));
    // No signature at all, in three spellings.
    for alg in ["none", "None", "nOnE"] {
        let part = |v: Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let forged = format!("{}.{}.", part(json!({"alg": alg, "typ": "JWT"})), part(claims()));
        assert!(verifier(vec![hs()]).verify(&forged).is_err(), "{alg}");
    }
}

#[test]
fn a_key_that_the_token_brings_along_is_not_used() {
    let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
    header.jku = Some("https://evil.example/jwks".to_owned());
    header.x5u = Some("https://evil.example/x5u".to_owned());
    let forged =
        encode(&header, &claims(), &EncodingKey::from_secret(b"the attacker's own secret, 32 bytes")).expect("signs");
    assert_eq!(verifier(vec![hs()]).verify(&forged), Err(AuthError::Signature));
}

#[test]
fn times_and_claims_are_demanded() {
    let check = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        verifier(vec![hs()]).verify(&sign(jsonwebtoken::Algorithm::HS256, &claims, &hs_key()))
    };
    let remove = |name: &'static str| move |c: &mut Value| drop(c.as_object_mut().expect("object").remove(name));
    assert_eq!(check(&remove("exp")), Err(AuthError::MissingClaim("exp")));
    assert_eq!(check(&remove("tenantId")), Err(AuthError::MissingClaim("tenantId")));
    assert_eq!(check(&remove("userId")), Err(AuthError::MissingClaim("userId")));
    assert_eq!(check(&|c| c["exp"] = json!(in_seconds(-120))), Err(AuthError::Expired));
    assert!(check(&|c| c["exp"] = json!(in_seconds(-30))).is_ok(), "within the leeway");
    assert_eq!(check(&|c| c["nbf"] = json!(in_seconds(300))), Err(AuthError::Early));
    assert_eq!(check(&|c| c["tenantId"] = json!("")), Err(AuthError::BadClaim("tenantId")));
    for subject in
        ["usher", "stripe", "plugins folder", "key/0190", "sql:app", "cli:import", "import:pg-boss", "", "a\n"]
    {
        assert_eq!(check(&|c| c["userId"] = json!(subject)), Err(AuthError::BadClaim("userId")), "{subject}");
    }
    assert!(check(&|c| c["userId"] = json!("usher-ops/key/1")).is_ok());
    assert_eq!(check(&|c| c["role"] = json!("superuser")).map(|c| c.role), Ok(Role::User));
    let admin = check(&|c| {
        c["role"] = json!("admin");
        c.as_object_mut().expect("object").remove("tenantId");
    });
    assert_eq!(admin.map(|c| (c.role, c.tenant)), Ok((Role::Admin, None)));
}

#[test]
fn issuer_audience_and_key_id_are_demanded_where_configured() {
    let strict = || {
        let mut issuer = hs();
        issuer.iss = Some("https://login.example".to_owned());
        issuer.aud = Some("usher".to_owned());
        issuer.kid = Some("k1".to_owned());
        issuer
    };
    let sign = |kid: Option<&str>, iss: Option<&str>, aud: Option<&str>| {
        let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = kid.map(str::to_owned);
        let mut claims = claims();
        if let Some(iss) = iss {
            claims["iss"] = json!(iss);
        }
        if let Some(aud) = aud {
            claims["aud"] = json!(aud);
        }
        verifier(vec![strict()]).verify(&encode(&header, &claims, &hs_key()).expect("signs"))
    };
    let (iss, aud) = (Some("https://login.example"), Some("usher"));
    assert!(sign(Some("k1"), iss, aud).is_ok());
    assert_eq!(sign(None, iss, aud), Err(AuthError::NoIssuer));
    assert_eq!(sign(Some("k2"), iss, aud), Err(AuthError::NoIssuer));
    assert_eq!(sign(Some("k1"), Some("https://evil.example"), aud), Err(AuthError::Elsewhere));
    assert_eq!(sign(Some("k1"), None, aud), Err(AuthError::MissingClaim("iss")));
    assert_eq!(sign(Some("k1"), iss, None), Err(AuthError::MissingClaim("aud")));
    assert_eq!(sign(Some("k1"), iss, Some("other")), Err(AuthError::Elsewhere));
}

#[test]
fn garbage_is_no_token() {
    for garbage in ["", "a", "a.b.c", "....", &"x".repeat(100_000)] {
        assert!(verifier(vec![hs()]).verify(garbage).is_err());
    }
}

#[test]
fn what_is_minted_comes_in() {
    let claims =
        MintClaims { subject: "ops".to_owned(), tenant: None, role: "admin".to_owned(), ttl: Duration::from_secs(60) };
    let token = mint(&hs(), &claims).expect("signs");
    let caller = verifier(vec![hs()]).verify(&token).expect("comes in");
    assert_eq!((caller.role, caller.subject.as_str()), (Role::Admin, "ops"));
    let tenantless = MintClaims { role: "user".to_owned(), ..claims };
    assert_eq!(mint(&hs(), &tenantless), Err(AuthError::NeedsTenant));
    assert!(matches!(mint(&issuer(Algorithm::RS256, "rsa.pub.pem"), &tenantless), Err(AuthError::NeedsTenant)));
}
