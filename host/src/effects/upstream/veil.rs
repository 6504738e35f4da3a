//! An upstream may send back what it was sent. Our credential does not reach a guest, or the journal, that way.

use super::reply::Body;

/// Shorter secrets are not looked for: they would be found where they are not.
const SHORTEST: usize = 8;
const VEIL: &[u8] = b"***";

/// Drops headers whose value holds one of the secrets, and puts `***` in its place in the body. Only the bytes as they were
/// sent are found, not another encoding of them; a body of which the service says that it is encoded is not let through.
pub(super) fn over(headers: &mut Vec<(String, String)>, body: &mut Body, secrets: &[&str], is_encoded: bool) {
    let secrets: Vec<_> = secrets.iter().filter(|secret| secret.len() >= SHORTEST).collect();
    let there = headers.len();
    headers.retain(|(_, value)| !secrets.iter().any(|secret| value.contains(**secret)));
    let mut is_veiled = headers.len() < there;
    if let Body::Whole(bytes) = body {
        if is_encoded && !secrets.is_empty() && !bytes.is_empty() {
            bytes.clear();
            is_veiled = true;
        }
        for secret in secrets {
            if let Some(veiled) = without(bytes, secret.as_bytes()) {
                *bytes = veiled;
                is_veiled = true;
            }
        }
    }
    if is_veiled {
        headers.push(("usher-redacted".to_owned(), "true".to_owned()));
    }
}

/// `None`: it is not there.
fn without(body: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut rest = body;
    let mut out = Vec::new();
    while let Some(at) = rest.windows(secret.len()).position(|part| part == secret) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(VEIL);
        rest = &rest[at + secret.len()..];
    }
    if rest.len() == body.len() {
        return None;
    }
    out.extend_from_slice(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veiled(headers: &[(&str, &str)], body: &str, secrets: &[&str]) -> (Vec<String>, String) {
        let mut headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut body = Body::Whole(body.as_bytes().to_vec());
        over(&mut headers, &mut body, secrets, false);
        let Body::Whole(body) = body else { panic!("it was whole") };
        let names = headers.into_iter().map(|(name, _)| name).collect();
        (names, String::from_utf8(body).expect("text"))
    }

    #[test]
    fn a_secret_that_comes_back_is_taken_out() {
        let headers = [("x-ok", "fine"), ("x-echo", "Bearer canary-4711")];
        let (names, body) = veiled(&headers, "a canary-4711 b canary-4711", &["canary-4711", "other-4712"]);
        assert_eq!(names, ["x-ok", "usher-redacted"]);
        assert_eq!(body, "a *** b ***");
    }

    #[test]
    fn what_cannot_be_looked_through_is_dropped_where_there_is_a_secret() {
        for (secrets, kept) in [(&["canary-4711"][..], 0), (&[], 4)] {
            let (mut headers, mut body) = (Vec::new(), Body::Whole(b"\x1f\x8b\x08\x00".to_vec()));
            over(&mut headers, &mut body, secrets, true);
            assert!(matches!(&body, Body::Whole(bytes) if bytes.len() == kept), "{body:?}");
            assert_eq!(headers.len(), usize::from(kept == 0));
        }
    }

    #[test]
    fn what_holds_none_stays_as_it_is() {
        for secrets in [&["canary-4711"][..], &["b"], &[]] {
            let (names, body) = veiled(&[("x", "b")], "a canary-471 b", secrets);
            assert_eq!((names.len(), body.as_str()), (1, "a canary-471 b"), "{secrets:?}");
        }
    }
}
