use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use reqwest::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::veil;
use crate::{
    config::Method,
    effects::CallEnd,
    journal::{Answer, Rejection},
};

const MAX_HEADERS: usize = 64;

/// What a guest gets: status, headers, body. Journaled with the body in base64.
#[derive(Debug, Serialize, Deserialize)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    #[serde(with = "base64_text")]
    pub body: Vec<u8>,
}

impl Response {
    pub fn from_answer(value: serde_json::Value) -> Option<Self> {
        serde_json::from_value(value).ok()
    }
}

mod base64_text {
    use super::{Engine, STANDARD};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// 2xx to 4xx are answers, but for 408, 425 and 429. A 5xx of a write may have happened, a 503 too: a proxy in between says that
/// of a service that died at work.
/// None of the secrets comes through.
pub(super) async fn read(
    mut response: reqwest::Response,
    method: Method,
    max_body: usize,
    secrets: &[&str],
) -> CallEnd {
    let status = response.status();
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY => {
            return CallEnd::Transient {
                message: format!("the upstream answered {status}"),
                retry_after: retry_after(response.headers()),
            };
        }
        _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            return lost_for(
                method,
                format!("the upstream answered {status}"),
                retry_after(response.headers()).filter(|_| status == StatusCode::SERVICE_UNAVAILABLE),
            );
        }
        _ => {}
    }
    let is_encoded = response.headers().get_all(header::CONTENT_ENCODING).iter().any(|encoding| encoding != "identity");
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| !matches!(**name, header::SET_COOKIE | header::CONNECTION | header::TRANSFER_ENCODING))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .take(MAX_HEADERS)
        .collect();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= max_body => body.extend_from_slice(&chunk),
            Ok(Some(_)) if method.is_read() => return too_large(status, max_body),
            // "Rejected" would say that nothing happened.
            Ok(Some(_)) => {
                body.clear();
                headers.push(truncated());
                break;
            }
            Ok(None) => break,
            // Status and headers came: a write happened. Its body is lost, and the guest is told so.
            Err(error) if method.is_read() => return lost(method, &plain(&error)),
            Err(_) => {
                body.clear();
                headers.push(truncated());
                break;
            }
        }
    }
    let mut response = Response { status: status.as_u16(), headers, body };
    veil::over(&mut response, secrets, is_encoded);
    match serde_json::to_value(&response) {
        Ok(value) => CallEnd::Answer(Answer::Ok(value)),
        Err(error) => CallEnd::doubt(format!("the answer could not be kept: {error}")),
    }
}

fn too_large(status: StatusCode, max_body: usize) -> CallEnd {
    let message = format!("the upstream's answer is longer than {max_body} bytes");
    let code = "response-too-large".to_owned();
    CallEnd::Answer(Answer::Rejected(Rejection { code, message, status: Some(status.as_u16()) }))
}

fn truncated() -> (String, String) {
    ("usher-body-truncated".to_owned(), "true".to_owned())
}

/// The request may have arrived. A read is simply made again.
pub(super) fn lost(method: Method, message: &str) -> CallEnd {
    lost_for(method, message.to_owned(), None)
}

fn lost_for(method: Method, message: String, retry_after: Option<Duration>) -> CallEnd {
    if method.is_read() { CallEnd::Transient { message, retry_after } } else { CallEnd::Doubt { message, retry_after } }
}

/// What these say of a repeat may be about the repeat alone: under a key that is at work on the first try (409), behind a
/// credential or a route that has changed since (401, 403, 404, 407), or behind a lock (423).
pub(super) fn is_about_this_try(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 407 | 409 | 423)
}

/// Seconds, or a date (RFC 9110 10.2.3); at most an hour is believed.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc) - Utc::now()).to_std().ok()?,
    };
    Some(wait.min(Duration::from_secs(3600)))
}

/// Without the URL, whose query may hold somebody's data.
pub(super) fn plain(error: &reqwest::Error) -> String {
    let mut text = match error {
        e if e.is_timeout() => "the upstream did not answer in time".to_owned(),
        e if e.is_connect() => "the upstream cannot be reached".to_owned(),
        e if e.is_body() || e.is_decode() => "the upstream's answer broke off".to_owned(),
        _ => "the call to the upstream failed".to_owned(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.source().is_none() {
            text.push_str(&format!(": {cause}"));
        }
        source = cause.source();
    }
    text.chars().take(300).collect()
}
