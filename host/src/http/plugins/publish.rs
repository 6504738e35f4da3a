use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State as Shared},
    http::{HeaderMap, StatusCode, header},
};
use serde_json::{Value, json};

use super::{flags, refused};
use crate::{
    auth::Caller,
    http::{State, body, caller::admin, problem::Problem},
    releases::signing::SigningError,
    runtime::{Offer, Place, compile::MAX_COMPONENT},
};

/// A detached signature of the body, base64.
const SIGNATURE: &str = "usher-signature";
/// How a refusal begins.
const NOT: &str = "Not published";
/// A body that comes byte by byte holds one of few places, and is given up after so long; as long as the command waits.
const SLOW_UPLOAD: Duration = Duration::from_secs(300);

/// `POST /plugins`, the component as body: 201 for a new release, 200 for bytes that are there. `?activate=false`: it is
/// stored only. `?unverified=true`: it is taken whatever `plugins.require_verify` finds.
pub(in crate::http) async fn publish(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    admin(&caller)?;
    let (mut activate, mut unverified) = (true, false);
    flags(query.as_deref(), &mut [("activate", &mut activate), ("unverified", &mut unverified)])?;
    let signature = match headers.get(SIGNATURE).map(|value| value.to_str()) {
        None => None,
        Some(Ok(text)) => Some(text.to_owned()),
        Some(Err(_)) => return Err(refused(NOT, &SigningError::Malformed.into(), Place::default())),
    };
    // As it says itself, before any of it is read.
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_COMPONENT as u64) {
        return Err(body::too_large(MAX_COMPONENT));
    }
    let Ok(_place) = state.registry.uploads.try_acquire() else {
        return Err(Problem::busy("Other components are being taken in; each is compiled by itself."));
    };
    let bytes = tokio::time::timeout(SLOW_UPLOAD, body::read_wasm(&headers, body, MAX_COMPONENT));
    let bytes = bytes.await.map_err(|_| {
        let detail = format!("The body did not come in within {} s.", SLOW_UPLOAD.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body-not-received", detail)
    })??;
    let offer = Offer { bytes: &bytes, signature: signature.as_deref(), activate, unverified, by: &caller.subject };
    let published = state.registry.publish(&state.pool, offer).await;
    let done = match published {
        Ok(done) => done,
        Err(error) => {
            // It reads the bytes once more: not on a thread that others wait for.
            let looked = tokio::task::spawn_blocking(move || {
                let place = error.place(&bytes);
                (error, place)
            });
            let (error, place) = looked.await.map_err(|_| Problem::internal())?;
            return Err(refused(NOT, &error, place));
        }
    };
    let activated = match done.activation {
        Some(activation) => Some((activation.generation, activation.effective)),
        None => state.operator.generation(&done.plugin, done.digest).await?,
    };
    let stands = match activated {
        Some((_, true)) => "active",
        Some((_, false)) => "waiting",
        None => "stored",
    };
    let code = if done.stored { StatusCode::CREATED } else { StatusCode::OK };
    let answer = json!({
        "name": done.plugin, "version": done.version, "digest": done.digest,
        "generation": activated.map(|(generation, _)| generation), "state": stands,
        "verified": done.verified.map(|report| report.to_json()), "waiting": done.waiting,
        "warnings": done.warnings,
    });
    Ok((code, Json(answer)))
}
