use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Secret, validate::is_loopback};

/// A service account of Google's: the host buys access tokens in its name (RFC 7523) and sends them as
/// `Authorization: Bearer …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Google {
    /// The JSON file that Google gives out with a key of the account.
    pub service_account: Secret,
    /// What the tokens are good for.
    #[serde(default = "messaging")]
    pub scope: String,
}

/// What a key file says, checked.
pub struct ServiceAccount {
    pub client_email: String,
    pub private_key: EncodingKey,
    pub private_key_id: Option<String>,
    /// https, or http to loopback.
    pub token_uri: Url,
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
}

impl Google {
    /// The error repeats nothing of the file.
    pub fn account(&self) -> Result<ServiceAccount, String> {
        let file: KeyFile = serde_json::from_str(self.service_account.expose()).map_err(|error| {
            format!(
                "is no key file of a service account: JSON with client_email, private_key and token_uri (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        if !file.client_email.contains('@') {
            return Err("client_email is no address".to_owned());
        }
        // What is inside of the PEM shows only when it signs.
        let private_key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .and_then(|key| encode(&Header::new(Algorithm::RS256), &serde_json::json!({}), &key).map(|_| key))
            .map_err(|_| "private_key is no RSA key in PEM (-----BEGIN PRIVATE KEY-----)".to_owned())?;
        let token_uri = Url::parse(&file.token_uri).map_err(|error| format!("token_uri: {error}"))?;
        if !is_private_way(&token_uri) {
            return Err("token_uri must be https; http is for loopback only".to_owned());
        }
        Ok(ServiceAccount {
            client_email: file.client_email,
            private_key,
            private_key_id: file.private_key_id,
            token_uri,
        })
    }

    pub(super) fn findings(&self, base_url: &str, place: &str, out: &mut Vec<String>) {
        if let Err(message) = self.account() {
            out.push(format!("{place}.google.service_account: {message}"));
        }
        if self.scope.is_empty() || self.scope.chars().any(|c| c.is_control() || !c.is_ascii()) {
            out.push(format!("{place}.google.scope: one or more scopes with spaces between them"));
        }
        if Url::parse(base_url).is_ok_and(|base| !is_private_way(&base)) {
            out.push(format!("{place}.base_url: must be https with google; http is for loopback only"));
        }
    }
}

fn is_private_way(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && url.host_str().is_some_and(is_loopback))
}

fn messaging() -> String {
    "https://www.googleapis.com/auth/firebase.messaging".to_owned()
}
