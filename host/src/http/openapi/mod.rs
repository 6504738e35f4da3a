//! What this API is, for programs (OpenAPI 3.1) and for people (a page of it).
//!
//! `operations` writes down each operation, `schemas` what goes in and out, `live` adds the job types of the moment. Nothing here
//! decides anything: a test holds the operations against the routes, and others validate what a real host answers.

mod describe;
mod document;
mod live;
mod operations;
mod page;
mod refusals;
mod routes;
mod schemas;

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Extension,
    body::Bytes,
    extract::State as Shared,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};

pub use self::document::{document, has};
use self::live::{Live, Stand};
pub(super) use self::routes::Routes;
use super::{State, problem::Problem};

/// The document and the page as they were made last, and of which job types.
#[derive(Clone, Default)]
pub(super) struct Served(Arc<Mutex<Option<Arc<Made>>>>);

struct Made {
    of: Stand,
    json: Bytes,
    etag: HeaderValue,
    page: Bytes,
}

impl Served {
    /// Made anew only where job types came, went or changed.
    fn of(&self, state: &State) -> Result<Arc<Made>, Problem> {
        let live = Live::of(state.submitter.catalog());
        let stand = live.stand();
        // What was made by a thread that panicked is whole, or not there.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = last.as_ref().filter(|made| made.of == stand) {
            return Ok(Arc::clone(made));
        }
        let document = live.added_to(document());
        let json = document.to_string();
        let page = page::page(&document).map_err(|error| {
            tracing::error!(error = %error, "the page of the API could not be made");
            Problem::internal()
        })?;
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&json).as_slice()[..16]));
        let made = Arc::new(Made {
            of: stand,
            json: Bytes::from(json),
            // Hex digits between quotes are what a header takes.
            etag: HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\"")),
            page: Bytes::from(page),
        });
        *last = Some(Arc::clone(&made));
        Ok(made)
    }
}

/// `GET /openapi.json`.
pub(super) async fn json(
    Shared(state): Shared<State>,
    Extension(served): Extension<Served>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let made = served.of(&state)?;
    let of_body = [
        (header::ETAG, made.etag.clone()),
        // It is asked for again each time, and mostly not sent again.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if knows(&headers, &made.etag) {
        return Ok((StatusCode::NOT_MODIFIED, of_body).into_response());
    }
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((of_body, [content_type], made.json.clone()).into_response())
}

/// `GET /docs`.
pub(super) async fn docs(
    Shared(state): Shared<State>,
    Extension(served): Extension<Served>,
) -> Result<Response, Problem> {
    let made = served.of(&state)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, page::policy()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, made.page.clone()).into_response())
}

/// RFC 9110 13.1.2, by weak comparison.
fn knows(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests;
