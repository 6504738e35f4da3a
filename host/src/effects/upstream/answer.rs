use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::reply::{Body, Reply};
use crate::{
    config::Method,
    effects::CallEnd,
    journal::{Answer, Rejection},
};

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
pub(super) fn meaning(method: Method, reply: Reply, max_body: usize) -> CallEnd {
    let Reply { status, retry_after, mut headers, body } = reply;
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY => {
            return CallEnd::Transient { message: format!("the upstream answered {status}"), retry_after };
        }
        _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            return lost_for(
                method,
                format!("the upstream answered {status}"),
                retry_after.filter(|_| status == StatusCode::SERVICE_UNAVAILABLE),
            );
        }
        _ => {}
    }
    let body = match body {
        Body::Whole(body) => body,
        Body::TooLong if method.is_read() => return too_large(status, max_body),
        Body::BrokenOff(message) if method.is_read() => return lost(method, &message),
        // Status and headers came, so the write happened; "rejected" would say that it did not. The guest is told what it lacks.
        Body::TooLong | Body::BrokenOff(_) => {
            headers.push(truncated());
            Vec::new()
        }
    };
    let response = Response { status: status.as_u16(), headers, body };
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
