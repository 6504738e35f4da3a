//! What a refusal lacks is added here, for all routes: that it is a problem at all, which request it was about, and that no
//! text of it speaks to a terminal.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::Value;

use super::problem::{PROBLEM_JSON, Problem};
use crate::telemetry::is_unsafe;

/// Longest problem, in bytes; the reports of verification are the longest there are.
const MOST: usize = 16 << 20;
/// Longest path that is named, in bytes.
const MAX_INSTANCE: usize = 2_048;

/// A 5xx of another type than a problem says more than that would: readiness names the parts.
pub(super) fn is_refusal(response: &Response) -> bool {
    let status = response.status();
    status.is_client_error() || (status.is_server_error() && is_problem(response))
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON)
}

/// RFC 9457 3.1.5: `instance` is the path that was asked.
pub(super) async fn refusal(path: &str, response: Response) -> Response {
    let (status, is_problem) = (response.status(), is_problem(&response));
    let (mut head, body) = response.into_parts();
    let said = if is_problem { to_bytes(body, MOST).await.ok() } else { None };
    let mut problem = said
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .filter(Value::is_object)
        .unwrap_or_else(|| bare(status).into_json());
    problem["instance"] = instance(path).into();
    // Always there, so that a program need not ask: the places in the body that are wrong, or none.
    if status.is_client_error() && problem["errors"].is_null() {
        problem["errors"] = Value::Array(Vec::new());
    }
    clean(&mut problem);
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    Response::from_parts(head, Body::from(problem.to_string()))
}

/// Of an answer that the framework gave by itself: a path that is not UTF-8, say.
fn bare(status: StatusCode) -> Problem {
    match status {
        StatusCode::BAD_REQUEST => Problem::new(status, "malformed-request", "The request cannot be read."),
        StatusCode::NOT_FOUND => Problem::new(status, "not-found", "There is no such resource."),
        StatusCode::REQUEST_TIMEOUT => Problem::new(status, "body-not-received", "The body did not come in whole."),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(status, "payload-too-large", "The body is too long."),
        status if status.is_server_error() => Problem::internal(),
        status => Problem::new(status, "refused", "The request is refused."),
    }
}

fn instance(path: &str) -> String {
    let end = path.floor_char_boundary(MAX_INSTANCE.min(path.len()));
    path[..end].to_owned()
}

/// What a stranger sent may stand in any text. Lines and tabs stay: JSON writes them as escapes.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().any(is_bad) => {
            *text = text.chars().map(|c| if is_bad(c) { char::REPLACEMENT_CHARACTER } else { c }).collect();
        }
        Value::Array(all) => all.iter_mut().for_each(clean),
        Value::Object(members) => members.values_mut().for_each(clean),
        _ => {}
    }
}

fn is_bad(c: char) -> bool {
    is_unsafe(c) && c != '\n' && c != '\t'
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_a_problem_speaks_to_a_terminal() {
        let mut problem =
            json!({ "detail": "a\u{1b}[31m\u{9b}b\nc", "errors": [{ "pointer": "/\u{202e}x" }], "line": 3 });
        clean(&mut problem);
        let bad = char::REPLACEMENT_CHARACTER;
        assert_eq!(problem["detail"], format!("a{bad}[31m{bad}b\nc"));
        assert_eq!(problem["errors"][0]["pointer"], format!("/{bad}x"));
        assert_eq!(problem["line"], 3);
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        assert_eq!(instance("/jobs"), "/jobs");
        let long = format!("/{}", "ä".repeat(MAX_INSTANCE));
        assert!(instance(&long).len() <= MAX_INSTANCE);
    }
}
