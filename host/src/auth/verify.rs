use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use serde_json::Value;

use super::{AuthError, Caller, Role, seen::Seen};
use crate::config::{Algorithm, Auth, Issuer};

/// Leeway for clocks that differ, in seconds.
const LEEWAY: u64 = 60;
/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// Checks tokens against the configured issuers.
pub struct Verifier {
    issuers: Vec<Trusted>,
    seen: Seen,
}

struct Trusted {
    algorithm: jsonwebtoken::Algorithm,
    kid: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "userId")]
    user_id: Option<String>,
    sub: Option<String>,
    #[serde(rename = "tenantId")]
    tenant_id: Option<String>,
    role: Option<String>,
    /// NumericDate: a number of seconds, perhaps with a fraction. What else it may be is the library's to refuse.
    #[serde(default)]
    exp: Value,
}

impl Verifier {
    pub fn new(config: &Auth) -> Result<Self, AuthError> {
        let issuers = config.issuers.iter().map(Trusted::new).collect::<Result<_, _>>()?;
        Ok(Self { issuers, seen: Seen::default() })
    }

    /// Who sends a token. One that was good before and is not expired is not checked again.
    pub fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Malformed);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        if let Some(caller) = self.seen.get(token, now) {
            return Ok(caller);
        }
        let claims = self.check(token)?;
        // Rounded down, so that the second in which it expires is checked in full.
        let until = claims.exp.as_f64().map_or(0, |exp| (exp as u64).saturating_add(LEEWAY));
        let caller = caller(claims)?;
        self.seen.put(token, &caller, now, until);
        Ok(caller)
    }

    /// The algorithm comes from the key's entry. The token's header only picks among the entries that already agree
    /// with it; `jku`, `x5u` and `jwk` are never read.
    fn check(&self, token: &str) -> Result<Claims, AuthError> {
        // An unknown `alg` such as "none" already fails to parse.
        let header = decode_header(token).map_err(|error| match error.kind() {
            ErrorKind::InvalidAlgorithmName | ErrorKind::Json(_) => AuthError::NoIssuer,
            _ => AuthError::Malformed,
        })?;
        let mut refusal = AuthError::NoIssuer;
        for trusted in &self.issuers {
            let named = trusted.kid.is_none() || trusted.kid == header.kid;
            if trusted.algorithm != header.alg || !named {
                continue;
            }
            match decode::<Claims>(token, &trusted.key, &trusted.validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => refusal = reason(error.kind()),
            }
        }
        Err(refusal)
    }
}

impl Trusted {
    fn new(issuer: &Issuer) -> Result<Self, AuthError> {
        let unusable = || AuthError::Key(issuer.name.clone());
        let (algorithm, key) = match (issuer.algorithm, &issuer.secret, &issuer.public_key) {
            (Algorithm::HS256, Some(secret), _) => {
                (jsonwebtoken::Algorithm::HS256, Ok(DecodingKey::from_secret(secret.expose().as_bytes())))
            }
            (Algorithm::RS256, _, Some(pem)) => {
                (jsonwebtoken::Algorithm::RS256, DecodingKey::from_rsa_pem(pem.expose().as_bytes()))
            }
            (Algorithm::ES256, _, Some(pem)) => {
                (jsonwebtoken::Algorithm::ES256, DecodingKey::from_ec_pem(pem.expose().as_bytes()))
            }
            (Algorithm::EdDSA, _, Some(pem)) => {
                (jsonwebtoken::Algorithm::EdDSA, DecodingKey::from_ed_pem(pem.expose().as_bytes()))
            }
            (_, _, _) => return Err(unusable()),
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp"]);
        validation.validate_aud = issuer.aud.is_some();
        if let Some(aud) = &issuer.aud {
            validation.set_audience(&[aud]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        if let Some(iss) = &issuer.iss {
            validation.set_issuer(&[iss]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        Ok(Self { algorithm, kid: issuer.kid.clone(), key: key.map_err(|_| unusable())?, validation })
    }
}

fn caller(claims: Claims) -> Result<Caller, AuthError> {
    let role = Role::parse(claims.role.as_deref());
    let subject = claims.user_id.or(claims.sub).ok_or(AuthError::MissingClaim("userId"))?;
    if subject.is_empty() || subject.len() > 255 || subject.chars().any(char::is_control) {
        return Err(AuthError::BadClaim("userId"));
    }
    match &claims.tenant_id {
        None if role != Role::Admin => return Err(AuthError::MissingClaim("tenantId")),
        Some(tenant) if !is_tenant(tenant) => return Err(AuthError::BadClaim("tenantId")),
        _ => {}
    }
    Ok(Caller { tenant: claims.tenant_id, subject, role, scope: None })
}

/// 1 to 128 characters, none of control.
pub(crate) fn is_tenant(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 128 && !text.chars().any(char::is_control)
}

fn reason(kind: &ErrorKind) -> AuthError {
    match kind {
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::Early,
        ErrorKind::InvalidSignature => AuthError::Signature,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => AuthError::Elsewhere,
        ErrorKind::MissingRequiredClaim(name) => AuthError::MissingClaim(match name.as_str() {
            "exp" => "exp",
            "aud" => "aud",
            "iss" => "iss",
            _ => "required claim",
        }),
        ErrorKind::InvalidAlgorithm => AuthError::NoIssuer,
        _ => AuthError::Malformed,
    }
}
