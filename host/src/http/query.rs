//! Queries: each parameter is known and there once; lists go on by opaque cursors.

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{openapi, problem::Problem};

/// Entries of one page, at most.
pub(super) const MOST: i64 = 200;

/// Routes that read their query, and refuse what they do not know of it. All others have none.
const WITH_QUERY: [&str; 20] = [
    "GET /alerts",
    "GET /audit",
    "GET /effects",
    "GET /events",
    "GET /jobs",
    "GET /jobs/{id}/events",
    "GET /keys",
    "GET /limits",
    "GET /plugins",
    "GET /plugins/{name}/releases",
    "GET /plugins/{name}/usage",
    "GET /queues",
    "GET /rate-limits",
    "GET /revocations",
    "GET /webhook-endpoints",
    "GET /webhook-endpoints/{id}/deliveries",
    "POST /plugins",
    "POST /plugins/{name}/activate",
    "POST /plugins/{name}/migrate",
    "POST /plugins/{name}/rollback",
];

/// A parameter that nobody reads may be one that somebody relies on, and of two of a name nobody knows which one counts:
/// both are refused.
pub(super) fn unknown(request: &Request) -> Option<Problem> {
    let query = request.uri().query().filter(|query| !query.is_empty())?;
    // Where there is no such route, or it has no such method, that is said.
    let path = request.extensions().get::<MatchedPath>()?.as_str();
    let method = if request.method() == Method::HEAD { "GET" } else { request.method().as_str() };
    if !openapi::has(method, path) {
        return None;
    }
    let takes_some = WITH_QUERY.contains(&format!("{method} {path}").as_str());
    let mut names: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name).collect();
    if !takes_some {
        return Some(bad(names.first()?, "there is no such parameter"));
    }
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(bad(&twice[0], "is there twice"))
}

pub(super) fn bad(name: &str, message: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-query", format!("{name}: {message}")).with("parameter", name)
}

/// The parameters of a request.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn read(raw: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut read: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                return Err(bad(&name, "there is no such parameter"));
            }
            if value.contains('\0') {
                return Err(bad(&name, "holds a NUL"));
            }
            read.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(read))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// One of a few words.
    pub fn word(&self, name: &str, of: &[&str]) -> Result<Option<&str>, Problem> {
        match self.get(name) {
            Some(value) if !of.contains(&value) => Err(bad(name, &format!("must be one of {}", of.join(", ")))),
            value => Ok(value),
        }
    }

    pub fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let time = DateTime::parse_from_rfc3339(value).ok().map(|time| time.with_timezone(&Utc));
        // None but a forged one is beyond what Postgres counts.
        let time = time.filter(|time| time.timestamp() >= 0);
        time.map(Some).ok_or_else(|| bad(name, "must be a time such as 2030-01-31T12:00:00Z, after 1970"))
    }

    /// Entries of the page.
    pub fn limit(&self, default: i64) -> Result<i64, Problem> {
        let Some(value) = self.get("limit") else { return Ok(default) };
        let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
        limit.ok_or_else(|| bad("limit", "must be a number from 1 to 200"))
    }

    /// Where the page before ended, as the list of this name has written it.
    pub fn cursor(&self, list: &str) -> Result<Option<String>, Problem> {
        let Some(value) = self.get("cursor") else { return Ok(None) };
        let text = URL_SAFE_NO_PAD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let place = text.as_deref().and_then(|text| text.strip_prefix(list)?.strip_prefix(' '));
        place.filter(|place| !place.contains('\0')).map(|place| Some(place.to_owned())).ok_or_else(no_cursor)
    }

    /// The same, read by `parse`.
    pub fn cursor_of<T>(&self, list: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        match self.cursor(list)? {
            Some(place) => parse(&place).map(Some).ok_or_else(no_cursor),
            None => Ok(None),
        }
    }
}

fn no_cursor() -> Problem {
    bad("cursor", "is none that this API gave out")
}

/// One page of a list: `found` is what was found from the cursor on, one more than `limit` where there is a next page.
/// `place`: where an entry stands.
pub(super) fn page<T: serde::Serialize>(
    list: &str,
    mut found: Vec<T>,
    limit: i64,
    place: impl FnOnce(&T) -> String,
) -> Value {
    let next = cut(list, &mut found, limit, place);
    json!({ "items": found, "nextCursor": next })
}

/// Cuts what is beyond the page; the cursor of the next one, if there is one.
fn cut<T>(list: &str, found: &mut Vec<T>, limit: i64, place: impl FnOnce(&T) -> String) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or_default();
    let more = found.len() > limit;
    found.truncate(limit);
    found.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(format!("{list} {}", place(last))))
}

/// The same of a list that is here in whole, by the names of its entries. `member`: what the entries stand under.
pub(super) fn page_by_name(
    query: &Query,
    member: &'static str,
    mut all: Vec<(String, Value)>,
) -> Result<Value, Problem> {
    let limit = query.limit(MOST)?;
    let after = query.cursor(member)?;
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.retain(|(name, _)| after.as_ref().is_none_or(|after| name > after));
    let next = cut(member, &mut all, limit, |(name, _)| name.clone());
    let mut page = json!({ "nextCursor": next });
    page[member] = all.into_iter().map(|(_, entry)| entry).collect();
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<Query, Problem> {
        Query::read(Some(raw), &["limit", "cursor", "since", "state"])
    }

    #[test]
    fn parameters_are_known() {
        for bad in ["colour=red", "state=%00", "Limit=1", "=1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        for bad in ["limit=0", "limit=201", "limit=x", "limit=", "limit=1.5", "limit=-1", "limit=99999999999999999999"]
        {
            assert!(read(bad).expect("known").limit(50).is_err(), "{bad}");
        }
        assert_eq!(read("limit=200").expect("known").limit(50).expect("a limit"), 200);
        for bad in ["since=yesterday", "since=1969-12-31T23:59:59Z", "since="] {
            assert!(read(bad).expect("known").time("since").is_err(), "{bad}");
        }
        assert!(read("state=open").expect("known").word("state", &["closed"]).is_err());
    }

    #[test]
    fn a_cursor_is_of_its_own_list() {
        let page = page("things", vec![3, 2, 1], 2, ToString::to_string);
        assert_eq!(page["items"], json!([3, 2]));
        let raw = format!("cursor={}", page["nextCursor"].as_str().expect("there is more"));
        let query = read(&raw).expect("known");
        assert_eq!(query.cursor("things").expect("ours").as_deref(), Some("2"));
        assert!(query.cursor("thing").is_err() && query.cursor("others").is_err());
        assert!(query.cursor_of("things", |place| place.parse::<i64>().ok().filter(|n| *n > 2)).is_err());
        for bad in ["cursor=!!", "cursor=", "cursor=AAAA"] {
            assert!(read(bad).expect("known").cursor("things").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_of_names_goes_on_after_a_name_also_where_that_is_gone() {
        let all = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), json!(name))).collect::<Vec<_>>();
        let first = page_by_name(&read("limit=2").expect("known"), "names", all(&["c", "a", "b"])).expect("a page");
        assert_eq!(first["names"], json!(["a", "b"]));
        let raw = format!("limit=2&cursor={}", first["nextCursor"].as_str().expect("there is more"));
        let next = page_by_name(&read(&raw).expect("known"), "names", all(&["a", "aa", "c", "d"])).expect("a page");
        assert_eq!((&next["names"], &next["nextCursor"]), (&json!(["c", "d"]), &Value::Null));
    }
}
