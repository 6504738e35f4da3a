//! `POST /webhooks/stripe`: let in by Stripe's signature, over the body as it came.

use axum::{
    Json,
    body::Body,
    extract::State as Shared,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{State, body, problem::Problem};
use crate::{
    clock,
    inbound::InboundError,
    signature::{StripeSignature, StripeSignatureError},
};

/// Longest event, in bytes. Who sends it is not known before it is read.
const MAX_EVENT: usize = 256 * 1024;

/// 200 once it is committed; the same event again: 200, and nothing more.
pub(super) async fn stripe(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let inbound = state.inbound.as_ref().ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "inbound-off",
            "This host takes no events of Stripe: no profile of it has webhook_secrets.",
        )
    })?;
    let signature = signature(&headers)?;
    let body = body::read_any(body, MAX_EVENT).await?;
    let taken = inbound.receive(&signature, &body).await?;
    Ok(Json(json!({ "id": taken.id, "replayed": taken.replayed, "jobs": taken.jobs })))
}

/// Looked at before the body is read.
fn signature(headers: &HeaderMap) -> Result<StripeSignature<'_>, Problem> {
    let mut values = headers.get_all("stripe-signature").iter();
    let value = values.next().ok_or_else(|| unsigned("There is no header Stripe-Signature."))?;
    if values.next().is_some() {
        return Err(unsigned("There is more than one header Stripe-Signature."));
    }
    let value = value.to_str().map_err(|_| StripeSignatureError::Malformed)?;
    Ok(StripeSignature::parse(value, clock::unix_ms() / 1000)?)
}

fn unsigned(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-signature", detail)
}

impl From<StripeSignatureError> for Problem {
    fn from(error: StripeSignatureError) -> Self {
        unsigned(format!("Not let in: {error}."))
    }
}

impl From<InboundError> for Problem {
    fn from(error: InboundError) -> Self {
        match error {
            InboundError::Signature => unsigned("Not let in: the signature does not match."),
            InboundError::Json { line, column } => {
                Self::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON.")
                    .with("line", line)
                    .with("column", column)
            }
            InboundError::Event { pointer, message } => Self::field(pointer, message),
            InboundError::Job { source, .. } => source.into(),
            // Somebody held the row of the event or of its job; Stripe comes again.
            InboundError::Database(error) => Self::database(&error),
        }
    }
}
