use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{
    auth::{AuthError, ServiceError},
    operate::OperateError,
    submit::SubmitError,
    webhooks::WebhookError,
};

/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error as RFC 9457 says it. `type` is stable: `urn:usher:problem:` and the slug. The member `instance` is added to all on
/// their way out.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, slug: &'static str, detail: impl Into<String>) -> Self {
        Self { status, slug, detail: detail.into(), members: Map::new(), headers: Vec::new() }
    }

    /// An extension member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// Whether it is about who asks, and not about what.
    pub fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    /// When to come again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    #[must_use]
    pub fn with_header(self, name: HeaderName, value: &'static str) -> Self {
        self.header(name, value)
    }

    /// The findings of a problem with one part of a request, each with its place in the whole.
    pub fn findings(self, part: &str, within: &str) -> Vec<Value> {
        match self.members.get("errors") {
            Some(Value::Array(errors)) => {
                let place = |error: &Value| format!("{part}{within}{}", error["pointer"].as_str().unwrap_or_default());
                errors.iter().map(|e| json!({ "pointer": place(e), "message": e["message"] })).collect()
            }
            _ => vec![json!({ "pointer": part, "message": self.detail })],
        }
    }

    /// As a member of a larger answer.
    pub fn into_json(self) -> Value {
        let mut body = self.members;
        body.insert("type".to_owned(), format!("urn:usher:problem:{}", self.slug).into());
        body.insert("title".to_owned(), self.status.canonical_reason().unwrap_or("Error").into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        body.insert("detail".to_owned(), self.detail.into());
        Value::Object(body)
    }

    /// Something of ours broke; what, is in the log.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The host failed to answer this request.")
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such job.")
    }

    /// One field of the request is wrong.
    pub fn field(pointer: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", format!("{pointer}: {message}"))
            .with("errors", json!([{ "pointer": pointer, "message": message }]))
    }

    /// A database error, logged once, here.
    pub fn database(error: &sqlx::Error) -> Self {
        tracing::error!(error = %error, "a request could not be answered from the database");
        Self::unavailable("The database could not answer.")
    }

    /// Not now; nothing was done.
    pub fn busy(detail: &str) -> Self {
        Self::unavailable(detail)
    }

    fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).header(header::RETRY_AFTER, "1")
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let (status, headers) = (self.status, std::mem::take(&mut self.headers));
        let mut response = (status, self.into_json().to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        for (name, value) in headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        // RFC 6750 3.1: a request without a token gets the bare challenge.
        let challenge = match error {
            AuthError::Missing => "Bearer",
            _ => "Bearer error=\"invalid_token\"",
        };
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", format!("Not let in: {error}."))
            .header(header::WWW_AUTHENTICATE, challenge)
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Tenant => Self::new(StatusCode::FORBIDDEN, "forbidden", format!("Refused: {error}.")),
            ServiceError::Unavailable => Self::unavailable(
                "The nonce could not be looked up, and nothing was done. Sign anew, with another nonce.",
            ),
            // 401 wants a challenge (RFC 9110, 15.5.2), and RFC 9421 has none.
            error => Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", format!("Not let in: {error}."))
                .header(header::WWW_AUTHENTICATE, "Bearer"),
        }
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::NotFound => Self::not_found(),
            OperateError::NoAlert => Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such alert."),
            OperateError::NoQueue(name) => {
                Self::new(StatusCode::NOT_FOUND, "not-found", format!("There is no queue \"{name}\" on this host."))
            }
            OperateError::Conflict { slug, message } => Self::new(StatusCode::CONFLICT, slug, message),
            OperateError::NoKey => Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such key."),
            OperateError::NoRelease(digest) => {
                Self::field("/release", format!("{digest} is no stored release; see GET /plugins"))
            }
            OperateError::NoPlugin(name) => Self::new(
                StatusCode::NOT_FOUND,
                "not-found",
                format!("There is no plugin \"{name}\"; see GET /plugins."),
            ),
            OperateError::NoSuchRelease(which) => Self::new(
                StatusCode::NOT_FOUND,
                "release-not-found",
                format!("The plugin has no release {which}; see GET /plugins/NAME/releases."),
            ),
            OperateError::Answer(message) => {
                let (pointer, message) = message.split_once(": ").unwrap_or(("/answer", &message));
                Self::field(pointer, message)
            }
            // Somebody holds the row: not a fault, but not now.
            OperateError::Database(error) => Self::database(&error),
        }
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::NotFound => {
                Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such webhook endpoint.")
            }
            WebhookError::NoDelivery => {
                Self::new(StatusCode::NOT_FOUND, "not-found", "This endpoint has no such delivery.")
            }
            WebhookError::Disabled => Self::new(
                StatusCode::CONFLICT,
                "endpoint-disabled",
                "The endpoint is disabled. Enable it first: PATCH it with {\"state\": \"enabled\"}.",
            ),
            WebhookError::TooMany => Self::new(StatusCode::CONFLICT, "too-many-endpoints", format!("{error}.")),
            WebhookError::Field { field, message } => Self::field(&format!("/{field}"), message),
            WebhookError::Database(error) => Self::database(&error),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
        match error {
            SubmitError::UnknownType { given, known } => {
                Self::new(UNPROCESSABLE, "unknown-job-type", format!("No plugin owns the job type \"{given}\"."))
                    .with("known", known)
                    .with("errors", json!([{ "pointer": "/type", "message": format!("no plugin owns \"{given}\"") }]))
            }
            error @ SubmitError::Retiring { .. } => {
                Self::new(StatusCode::CONFLICT, "job-type-retiring", format!("Nothing was written: {error}."))
            }
            SubmitError::TooLarge { limit } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload-too-large",
                format!("The payload may have at most {limit} bytes."),
            ),
            SubmitError::Payload(violations) => Self::new(
                UNPROCESSABLE,
                "invalid-payload",
                "The payload is not one of this job type; pointers are into the payload.",
            )
            .with("errors", json!(violations)),
            SubmitError::Field { pointer, message } => Self::field(pointer, message),
            SubmitError::KeyReused { first } => Self::new(
                UNPROCESSABLE,
                "idempotency-key-reused",
                "This Idempotency-Key was used before with another payload.",
            )
            .with("firstJob", first.to_string()),
            SubmitError::Busy => Self::unavailable("Too many submits are waiting; nothing was written."),
            // The batch has logged it.
            SubmitError::Unavailable(_) => {
                Self::unavailable("It is not known to be written; repeat it with the same Idempotency-Key.")
            }
        }
    }
}
