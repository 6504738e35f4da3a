use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use uuid::Uuid;

use super::AuthError;
use crate::config::{Algorithm, Issuer};

/// What `usher token mint` signs.
#[derive(Clone, Debug)]
pub struct MintClaims {
    pub subject: String,
    /// Only an admin may have none.
    pub tenant: Option<String>,
    pub role: String,
    pub ttl: Duration,
}

/// Signs with the issuer's secret. Keys that we only verify with cannot sign.
pub fn mint(issuer: &Issuer, claims: &MintClaims) -> Result<String, AuthError> {
    if claims.tenant.is_none() && claims.role != "admin" {
        return Err(AuthError::NeedsTenant);
    }
    let (Algorithm::HS256, Some(secret)) = (issuer.algorithm, &issuer.secret) else {
        return Err(AuthError::CannotSign(issuer.name.clone()));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| AuthError::BadClaim("exp"))?;
    let mut body = json!({
        "userId": claims.subject,
        "role": claims.role,
        // By which it can be revoked.
        "jti": Uuid::new_v4(),
        "iat": now.as_secs(),
        "exp": now.saturating_add(claims.ttl).as_secs(),
    });
    for (name, value) in [("tenantId", &claims.tenant), ("iss", &issuer.iss), ("aud", &issuer.aud)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid.clone_from(&issuer.kid);
    encode(&header, &body, &EncodingKey::from_secret(secret.expose().as_bytes()))
        .map_err(|_| AuthError::Key(issuer.name.clone()))
}
