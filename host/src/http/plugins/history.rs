use axum::{
    Json,
    extract::{Path, RawQuery, State as Shared},
};
use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use super::known;
use crate::{
    auth::Caller,
    http::{
        State,
        problem::Problem,
        query::{Query, page},
    },
    ids::Digest,
    operate::OperateError,
    releases::store::{self, Past, PastPlace},
};

const PAGE: i64 = 100;

/// `GET /plugins/{name}/releases?limit=&cursor=…`: who activated what and when, newest first; then what was stored and
/// never activated.
pub(in crate::http) async fn history(
    Shared(state): Shared<State>,
    _: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let name = known(name)?;
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let (limit, after) = (query.limit(PAGE)?, query.cursor_of("releases", parse)?);
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    // One more than asked for tells whether there is a next page.
    let found = store::history(&mut db, &name, after, limit + 1).await.map_err(|e| Problem::database(&e))?;
    if found.is_empty() && after.is_none() {
        return Err(OperateError::NoPlugin(name).into());
    }
    Ok(Json(page("releases", found, limit, place)))
}

/// A generation, or when it was stored and which one it is.
fn place(last: &Past) -> String {
    match (last.generation, last.published_at, last.digest.as_deref().and_then(Digest::from_slice)) {
        (Some(generation), ..) => generation.to_string(),
        (None, Some(at), Some(digest)) => format!("{} {digest}", at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        // A stored release has both.
        (None, ..) => "0".to_owned(),
    }
}

fn parse(place: &str) -> Option<PastPlace> {
    match place.split_once(' ') {
        None => place.parse().ok().map(PastPlace::Activation),
        Some((at, digest)) => {
            let at = DateTime::parse_from_rfc3339(at).ok()?.to_utc();
            Some(PastPlace::Stored(at, digest.parse().ok()?)).filter(|_| at.timestamp() >= 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let digest = Digest::of(b"x");
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time");
        assert_eq!(parse("7"), Some(PastPlace::Activation(7)));
        let text = format!("{} {digest}", at.to_rfc3339_opts(SecondsFormat::Micros, true));
        assert_eq!(parse(&text), Some(PastPlace::Stored(at, digest)));
        for bad in ["", "x", "7 8", "2020-01-01T00:00:00Z x", "1960-01-01T00:00:00Z sha256:00"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
