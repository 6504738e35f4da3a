//! The credential of Google's services: an assertion signed by a service account's key buys an access token, which is kept in
//! memory until shortly before it ends (RFC 7523; Google, "Using OAuth 2.0 for Server to Server Applications").

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, header::CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::{Url, form_urlencoded};

use super::reply;
use crate::{
    clock::{self, Boottime},
    config,
    effects::client,
};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Google takes no assertion that is good for longer.
const ASSERTION_LIVES: Duration = Duration::from_secs(3_600);
/// So long before it ends a token is no longer begun with.
const EARLY: Duration = Duration::from_secs(60);
/// So long a failure stands, lest each of a thousand jobs hears it anew.
const FAILURE_STANDS: Duration = Duration::from_secs(2);
/// Longest answer of the token endpoint, in bytes.
const MAX_ANSWER: usize = 64 << 10;
const LONGEST_EXCHANGE: Duration = Duration::from_secs(10);

/// What a service account buys. Compared by address: two are never the same.
pub(super) struct Token {
    secret: SecretString,
    /// From when on a new one is bought.
    renew: Boottime,
    ends: Boottime,
}

impl Token {
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

pub(super) struct Google {
    client: Client,
    token_uri: Url,
    email: String,
    key_id: Option<String>,
    key: EncodingKey,
    scope: String,
    token: Mutex<Option<Arc<Token>>>,
    /// One exchange at a time; the last failure, while it stands.
    exchange: tokio::sync::Mutex<Option<(Boottime, String)>>,
}

#[derive(Deserialize)]
struct Bought {
    access_token: SecretString,
    /// Seconds.
    expires_in: u64,
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Google {
    pub fn new(config: &config::Google, timeout: Duration) -> Result<Self, String> {
        let account = config.account().map_err(|message| format!("google.service_account: {message}"))?;
        let client = client(timeout.min(LONGEST_EXCHANGE)).map_err(|e| e.to_string())?;
        Ok(Self {
            client,
            token_uri: account.token_uri,
            email: account.client_email,
            key_id: account.private_key_id,
            key: account.private_key,
            scope: config.scope.clone(),
            token: Mutex::default(),
            exchange: tokio::sync::Mutex::default(),
        })
    }

    /// A token is at hand, bought now if need be. An error repeats nothing secret.
    pub async fn ready(&self) -> Result<(), String> {
        if self.is_ready() {
            return Ok(());
        }
        let mut failure = self.exchange.lock().await;
        if self.is_ready() {
            return Ok(());
        }
        if let Some((_, message)) = failure.as_ref().filter(|(at, _)| at.elapsed() < FAILURE_STANDS) {
            return Err(message.clone());
        }
        match self.buy().await {
            Ok(token) => {
                *self.kept() = Some(Arc::new(token));
                *failure = None;
                Ok(())
            }
            Err(message) => {
                tracing::warn!(reason = %message, "no access token was given for a service account");
                *failure = Some((Boottime::now(), message.clone()));
                Err(message)
            }
        }
    }

    /// The one at hand.
    pub fn token(&self) -> Result<Arc<Token>, String> {
        let now = Boottime::now();
        let token = self.kept().as_ref().filter(|token| now < token.ends).map(Arc::clone);
        token.ok_or_else(|| "its access token was given up a moment ago".to_owned())
    }

    /// The service did not take it. A newer one stays.
    pub fn forget(&self, token: &Arc<Token>) {
        self.kept().take_if(|kept| Arc::ptr_eq(kept, token));
    }

    fn is_ready(&self) -> bool {
        let now = Boottime::now();
        self.kept().as_ref().is_some_and(|token| now < token.renew)
    }

    async fn buy(&self) -> Result<Token, String> {
        let asked = Boottime::now();
        let assertion = self.assertion()?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT_TYPE)
            .append_pair("assertion", &assertion)
            .finish();
        let request = self.client.post(self.token_uri.clone()).body(form);
        let sent = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").send().await;
        let mut response = sent.map_err(|error| format!("the token endpoint: {}", reply::plain(&error)))?;
        let mut bytes = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| format!("the token endpoint: {}", reply::plain(&error)))?
        {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("the token endpoint's answer is longer than {MAX_ANSWER} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let status = response.status().as_u16();
        if status != 200 {
            return Err(format!("the token endpoint answered {status}{}", reason(&bytes)));
        }
        // The error of the reader might quote the token.
        let bought: Bought = serde_json::from_slice(&bytes)
            .map_err(|_| "the token endpoint's answer has no access_token with its expires_in".to_owned())?;
        let is_sendable = |b: u8| b.is_ascii_graphic();
        if bought.access_token.expose_secret().is_empty()
            || !bought.access_token.expose_secret().bytes().all(is_sendable)
        {
            return Err("the token endpoint's access_token does not fit into a header".to_owned());
        }
        let lives = Duration::from_secs(bought.expires_in.min(ASSERTION_LIVES.as_secs() * 24));
        Ok(Token {
            secret: bought.access_token,
            renew: asked.plus(lives.saturating_sub(EARLY)),
            ends: asked.plus(lives),
        })
    }

    fn assertion(&self) -> Result<String, String> {
        let now = clock::unix_ms() / 1_000;
        let claims = json!({
            "iss": self.email,
            "scope": self.scope,
            "aud": self.token_uri.as_str(),
            "iat": now,
            "exp": now + ASSERTION_LIVES.as_secs(),
        });
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&self.key_id);
        encode(&header, &claims, &self.key).map_err(|_| "the service account's key cannot sign".to_owned())
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<Token>>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The endpoint's code, such as `invalid_grant`, and nothing else of what it says.
fn reason(answer: &[u8]) -> String {
    let Ok(Refused { error }) = serde_json::from_slice(answer) else { return String::new() };
    let is_code = (1..=64).contains(&error.len()) && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_code { format!(" ({error})") } else { String::new() }
}

impl fmt::Debug for Google {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Google").field("token_uri", &self.token_uri.as_str()).finish_non_exhaustive()
    }
}
