use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::config::Upstream;

/// Longest body, in bytes.
pub(super) const MAX_BODY: usize = 1 << 20;
const MAX_PATH: usize = 2_000;
const MAX_PAIRS: usize = 100;

/// Base URL and guest path. The path is checked as it will be read at the other end: also percent-decoded, so that
/// `%2e%2e` is `..`.
pub(super) fn url(base: &Url, path: &str, query: &[(String, String)]) -> Result<Url, String> {
    let bad = |what: &str| Err(format!("path: {what}"));
    if !path.starts_with('/') || path.len() > MAX_PATH {
        return bad("starts with / and has at most 2,000 bytes");
    }
    let mut decoded = path.to_owned();
    // Twice: a proxy in between may decode once more.
    for _ in 0..3 {
        if decoded.contains("//")
            || decoded.contains(['\\', '@', '?', '#', ';'])
            || decoded.chars().any(char::is_control)
        {
            return bad("holds no //, \\, @, ?, #, ; or control character; the query has a place of its own");
        }
        if decoded.split('/').any(|segment| segment == ".." || segment == ".") {
            return bad("has no . or .. segment");
        }
        decoded = match percent_decoded(&decoded) {
            Some(decoded) => decoded,
            None => return bad("has a broken percent-encoding"),
        };
    }
    if query.len() > MAX_PAIRS {
        return Err(format!("query: at most {MAX_PAIRS} pairs"));
    }
    let mut url = base.clone();
    let prefix = base.path().trim_end_matches('/');
    url.set_path(&format!("{prefix}{path}"));
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    // Whatever the parser made of it, it must still be the operator's host and prefix.
    if url.origin() != base.origin() || !url.path().starts_with(&format!("{prefix}/")) {
        return bad("leaves the upstream");
    }
    Ok(url)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// The guest's headers. `taken`: those that the operator has fixed.
pub(super) fn headers(pairs: &[(String, String)], taken: impl Fn(&HeaderName) -> bool) -> Result<HeaderMap, String> {
    if pairs.len() > MAX_PAIRS {
        return Err(format!("headers: at most {MAX_PAIRS}"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| "headers: a name is not one of HTTP".to_owned())?;
        // Behind a gateway that makes variables of headers, `x_tenant_id` is `x-tenant-id`.
        if name.as_str().contains('_') {
            return Err(format!("headers: {name}: a name holds no underscore"));
        }
        if Upstream::is_hosts_header(name.as_str())
            || name.as_str().starts_with("x-forwarded-")
            || name.as_str().starts_with("x-usher-")
            || taken(&name)
        {
            return Err(format!("headers: {name} is the host's"));
        }
        let value = HeaderValue::try_from(value.as_str())
            .map_err(|_| format!("headers: the value of {name} is not one of HTTP"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("http://svc.internal:81/api/").expect("a URL")
    }

    #[test]
    fn a_path_stays_below_the_operators_prefix() {
        let pair = ("q".to_owned(), "a b&c".to_owned());
        let url = url(&base(), "/v1/users%20x", &[pair]).expect("sound");
        assert_eq!(url.as_str(), "http://svc.internal:81/api/v1/users%20x?q=a+b%26c");
        for path in [
            "",
            "v1",
            "//evil.example/x",
            "/a//b",
            "/../admin",
            "/a/../../admin",
            "/%2e%2e/admin",
            "/%252e%252e/admin",
            "/a\\b",
            "/@evil.example",
            "/a?b=c",
            "/a#b",
            "/a\nb",
            "/%0a",
            "/%2f%2fevil",
            "/%zz",
            "/a/./b",
            "/..;/x",
            "/%00",
        ] {
            assert!(super::url(&base(), path, &[]).is_err(), "{path:?}");
        }
    }

    #[test]
    fn headers_of_the_host_are_not_the_guests() {
        let ok = [("Content-Type".to_owned(), "application/json".to_owned())];
        assert!(headers(&ok, |_| false).is_ok());
        assert!(headers(&ok, |name| name == "content-type").is_err());
        for (name, value) in [
            ("Host", "x"),
            ("authorization", "x"),
            ("Idempotency-Key", "x"),
            ("Signature", "x"),
            ("signature-input", "x"),
            ("Content-Digest", "x"),
            ("X-Forwarded-For", "x"),
            ("cookie", "x"),
            ("Transfer-Encoding", "chunked"),
            ("X_Tenant_ID", "x"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("x-original-url", "/admin"),
            ("X-Real-IP", "127.0.0.1"),
            ("Accept-Encoding", "gzip"),
            ("Range", "bytes=0-20"),
            ("X-Ok", "a\r\nX-Evil: b"),
            ("bad name", "x"),
        ] {
            assert!(headers(&[(name.to_owned(), value.to_owned())], |_| false).is_err(), "{name}");
        }
    }
}
