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

use std::sync::{Arc, Weak};

use axum::{
    Extension,
    body::Bytes,
    extract::State as Shared,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

pub use self::document::{document, has};
use self::live::{Entries, Live, Stand};
pub(super) use self::routes::Routes;
use super::{State, problem::Problem};

/// The document and the page as they were made last.
#[derive(Clone, Default)]
pub(super) struct Served(Arc<Mutex<Option<Last>>>);

struct Last {
    /// What the catalog held then. Nothing else comes to lie in its place while this is here.
    entries: Weak<Entries>,
    made: Arc<Made>,
}

struct Made {
    of: Stand,
    json: Bytes,
    etag: HeaderValue,
    page: Bytes,
}

impl Served {
    /// Made anew only where job types came, went or changed.
    async fn of(&self, state: &State) -> Result<Arc<Made>, Problem> {
        let entries = state.submitter.catalog().entries();
        let mut last = Arc::clone(&self.0).lock_owned().await;
        if let Some(known) = last.as_ref().filter(|last| std::ptr::eq(last.entries.as_ptr(), Arc::as_ptr(&entries))) {
            return Ok(Arc::clone(&known.made));
        }
        // Some milliseconds, which must not hold up the other requests of this thread. Strangers may ask, and go: the lock stays
        // with the work, so that it is done once.
        let make = move || {
            let live = Live::of(&entries);
            let stand = live.stand();
            let before = last.take().map(|last| last.made);
            let made = match before.filter(|made| made.of == stand) {
                Some(made) => made,
                None => Arc::new(Made::new(&live, stand)?),
            };
            *last = Some(Last { entries: Arc::downgrade(&entries), made: Arc::clone(&made) });
            Ok(made)
        };
        tokio::task::spawn_blocking(make).await.map_err(|_| Problem::internal())?
    }
}

impl Made {
    fn new(live: &Live, of: Stand) -> Result<Self, Problem> {
        let document = live.added_to(document());
        let json = document.to_string();
        let page = page::page(&document).map_err(|error| {
            tracing::error!(error = %error, "the page of the API could not be made");
            Problem::internal()
        })?;
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&json).as_slice()[..16]));
        Ok(Self {
            of,
            json: Bytes::from(json),
            // Hex digits between quotes are what a header takes.
            etag: HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\"")),
            page: Bytes::from(page),
        })
    }
}

/// `GET /openapi.json`.
pub(super) async fn json(
    Shared(state): Shared<State>,
    Extension(served): Extension<Served>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let made = served.of(&state).await?;
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
    let made = served.of(&state).await?;
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
