//! `/webhook-endpoints`: where a tenant wants its events, and what became of them there. For admins, and venue admins of
//! the tenant.

mod actions;
mod deliveries;
mod endpoints;

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

pub(super) use self::{
    actions::{ping, replay, rotate},
    deliveries::deliveries,
    endpoints::{change, create, delete, get, list},
};
use super::{State, caller::changes, problem::Problem};
use crate::{
    auth::Caller,
    ids::EndpointId,
    webhooks::{WebhookError, Webhooks},
};

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// Role first, then whether there are webhooks at all. The tenant that the caller is limited to comes along.
fn room<'a>(state: &'a State, caller: &'a Caller) -> Result<(&'a Webhooks, Option<&'a str>), Problem> {
    let tenant = changes(caller)?;
    let webhooks = state.webhooks.as_ref().ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "webhooks-off",
            "Webhooks are off on this host: its operator has set no webhooks.key.",
        )
    })?;
    Ok((webhooks, tenant))
}

/// What is no id names nothing.
fn id(text: &str) -> Result<EndpointId, Problem> {
    text.parse().map_err(|_| WebhookError::NotFound.into())
}

fn bad(name: &str, message: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-query", format!("{name}: {message}")).with("parameter", name)
}

fn limit(value: &str) -> Result<i64, Problem> {
    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| bad("limit", "must be a number from 1 to 200"))
}

fn cursor(value: &str) -> Result<Vec<u8>, Problem> {
    URL_SAFE_NO_PAD.decode(value).map_err(|_| bad("cursor", "is none that this API gave out"))
}
