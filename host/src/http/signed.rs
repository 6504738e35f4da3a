use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
};

use super::{
    State,
    body::{MAX_BODY, unreadable},
    jobs::MAX_BATCH,
    pressure::Held,
    problem::Problem,
};
use crate::{
    auth::{
        Caller, Role,
        service::{Checked, Incoming, TENANT},
    },
    runtime::compile::MAX_COMPONENT,
    signature::Message,
};

const SIGNATURE: &str = "signature";
const INPUT: &str = "signature-input";
/// Routes that answer strangers, too.
const FOR_STRANGERS: [&str; 5] = ["/health", "/health/live", "/health/ready", "/cache/stats", "/metrics"];

/// Lets in who signed the request (RFC 9421): the caller is in the request that comes back. One without a signature passes
/// untouched.
///
/// The body is read here, once, since its digest is signed; before that it is known who sends it.
pub(super) async fn check(state: &State, request: Request) -> Result<Request, Problem> {
    let headers = request.headers();
    if !headers.contains_key(SIGNATURE) && !headers.contains_key(INPUT) {
        return Ok(request);
    }
    if headers.contains_key(header::AUTHORIZATION) {
        let message = "The request has a signature and an Authorization header: which one says who asks?";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "ambiguous-credentials", message));
    }
    let (mut parts, body) = request.into_parts();
    let body = match let_in(state, &parts, body).await {
        Ok((caller, bytes)) => {
            parts.extensions.insert(caller);
            Body::from(bytes)
        }
        // A stranger there, and the answer says so.
        Err(_) if !state.verifier.is_strict() && FOR_STRANGERS.contains(&parts.uri.path()) => Body::empty(),
        Err(problem) => return Err(problem),
    };
    Ok(Request::from_parts(parts, body))
}

/// The caller, and the whole body.
async fn let_in(state: &State, parts: &Parts, body: Body) -> Result<(Caller, Bytes), Problem> {
    let checked = look(state, parts)?;
    if let Some(held) = parts.extensions.get::<Held>() {
        held.is_of(checked.caller());
    }
    let most = longest(parts, checked.caller());
    let bytes = to_bytes(body, most).await.map_err(|error| unreadable(error, most))?;
    let caller = state.services.admit(checked, &bytes).await?;
    Ok((caller, bytes))
}

/// The longest body that its route takes from this caller.
fn longest(parts: &Parts, caller: &Caller) -> usize {
    match parts.uri.path() {
        "/jobs/batch" => MAX_BATCH,
        "/plugins" if parts.method == Method::POST && caller.role == Role::Admin => MAX_COMPONENT,
        _ => MAX_BODY,
    }
}

fn look(state: &State, parts: &Parts) -> Result<Checked, Problem> {
    let unclear = |message: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid-request", message);
    if parts.headers.get_all(TENANT).iter().count() > 1 {
        return Err(unclear("There is more than one X-Tenant-ID."));
    }
    let authority = authority(parts).ok_or_else(|| unclear("The request names no host, or more than one."))?;
    let field = |name: &str| field(&parts.headers, name);
    let (input, signature) = (field(INPUT).unwrap_or_default(), field(SIGNATURE).unwrap_or_default());
    let incoming = Incoming {
        message: Message {
            method: parts.method.as_str(),
            authority: &authority,
            path: parts.uri.path(),
            query: parts.uri.query(),
            fields: &[],
        },
        input: &input,
        signature: &signature,
        field,
    };
    Ok(state.services.check(&incoming)?)
}

/// A header's lines, without the white space around them, joined (RFC 9421, 2.1). Bytes that are no text become a sign that no
/// signature can cover.
fn field(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim_matches([' ', '\t']).to_owned())
        .collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// Host and port as the client named them: in the request's target (HTTP/2, and what is sent to a proxy), in `Host`, or in both
/// alike.
fn authority(parts: &Parts) -> Option<String> {
    let in_target = parts.uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
    let in_header = field(&parts.headers, header::HOST.as_str()).map(|host| host.to_ascii_lowercase());
    match (in_target, in_header) {
        (Some(target), Some(host)) if target != host => None,
        (Some(one), _) | (None, Some(one)) => Some(one).filter(|one| !one.is_empty() && !one.contains([',', '@'])),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, headers: &[(&str, &[u8])]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).expect("a request").into_parts().0
    }

    #[test]
    fn the_host_is_what_the_client_named_and_one() {
        let of = |uri: &str, hosts: &[&str]| {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", host.as_bytes())).collect();
            authority(&parts(uri, &headers))
        };
        assert_eq!(of("/jobs", &["Usher.Example:8080"]).as_deref(), Some("usher.example:8080"));
        assert_eq!(of("http://usher.example/jobs", &[]).as_deref(), Some("usher.example"));
        assert_eq!(of("http://usher.example/jobs", &["USHER.example"]).as_deref(), Some("usher.example"));
        assert_eq!(of("http://usher.example/jobs", &["other.example"]), None);
        assert_eq!(of("/jobs", &["a.example", "b.example"]), None);
        assert_eq!(of("/jobs", &["a.example", "a.example"]), None);
        assert_eq!(of("/jobs", &[]), None);
        assert_eq!(of("/jobs", &[""]), None);
        assert_eq!(of("http://u@a.example/jobs", &[]), None);
    }

    #[test]
    fn lines_of_a_header_are_joined_and_what_is_no_text_is_still_there() {
        let of = |values: &[&[u8]]| {
            let headers: Vec<_> = values.iter().map(|value| ("x-tenant-id", *value)).collect();
            field(&parts("/", &headers).headers, "x-tenant-id")
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[b" t1 "]).as_deref(), Some("t1"));
        assert_eq!(of(&[b"t1", b"t2"]).as_deref(), Some("t1, t2"));
        assert_eq!(of(&[b"t\xff"]).as_deref(), Some("t\u{fffd}"));
    }
}
