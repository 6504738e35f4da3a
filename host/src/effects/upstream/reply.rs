use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{StatusCode, header};

use super::veil;

const MAX_HEADERS: usize = 64;

/// How one request to an upstream went, before anybody says what it means.
#[derive(Debug)]
pub(in crate::effects) enum Went {
    Reply(Reply),
    /// Not a byte of it has left.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
}

/// What came back. None of our secrets is in it.
#[derive(Debug)]
pub(in crate::effects) struct Reply {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

#[derive(Debug)]
pub(in crate::effects) enum Body {
    Whole(Vec<u8>),
    /// Than the upstream's `max_response`.
    TooLong,
    BrokenOff(String),
}

impl Reply {
    pub(super) async fn read(mut response: reqwest::Response, max_body: usize, secrets: &[&str]) -> Self {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let is_encoded =
            response.headers().get_all(header::CONTENT_ENCODING).iter().any(|encoding| encoding != "identity");
        let mut headers: Vec<_> = response
            .headers()
            .iter()
            .filter(|(name, _)| !matches!(**name, header::SET_COOKIE | header::CONNECTION | header::TRANSFER_ENCODING))
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .take(MAX_HEADERS)
            .collect();
        let mut bytes = Vec::new();
        let mut body = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() <= max_body => bytes.extend_from_slice(&chunk),
                Ok(Some(_)) => break Body::TooLong,
                Ok(None) => break Body::Whole(bytes),
                Err(error) => break Body::BrokenOff(plain(&error)),
            }
        };
        veil::over(&mut headers, &mut body, secrets, is_encoded);
        Self { status, retry_after, headers, body }
    }

    /// The upstream is there, and gave an answer that could be read.
    pub(super) fn is_sound(&self) -> bool {
        let is_broken = matches!(self.body, Body::BrokenOff(_));
        !self.status.is_server_error() && (self.status.is_client_error() || !is_broken)
    }

    /// `Null` for what is no JSON: a gateway in between answers in HTML.
    pub fn json(&self) -> serde_json::Value {
        match &self.body {
            Body::Whole(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
            Body::TooLong | Body::BrokenOff(_) => serde_json::Value::Null,
        }
    }
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
