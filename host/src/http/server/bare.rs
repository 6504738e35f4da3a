use axum::http::StatusCode;
use serde_json::json;

/// What a connection hears for which there is no seat.
pub fn full() -> String {
    whole(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "This host has no room for another connection; nothing was read.",
        "retry-after: 1\r\n",
    )
}

/// hyper answers what it cannot parse itself, with a status and no word. The same answer as a problem; `None`: it is no such.
///
/// Every answer of ours says `nosniff`, and none of hyper's does.
pub fn dressed(answer: &[u8]) -> Option<String> {
    let rest = answer.strip_prefix(b"HTTP/1.1 4")?;
    let head = std::str::from_utf8(answer).ok()?;
    let lines = head.strip_suffix("\r\n\r\n")?;
    if lines.contains("\r\n\r\n") || lines.contains("x-content-type-options") || !lines.contains("content-length: 0") {
        return None;
    }
    let code = std::str::from_utf8(rest.get(..2)?).ok()?.parse::<u16>().ok()?;
    let status = StatusCode::from_u16(400 + code).ok()?;
    let (slug, detail) = match status {
        StatusCode::URI_TOO_LONG => ("uri-too-long", "The path and query are too long."),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("headers-too-large", "The header fields are too many or too long.")
        }
        _ => ("malformed-request", "The request is not HTTP as this host reads it."),
    };
    Some(whole(status, slug, detail, ""))
}

fn whole(status: StatusCode, slug: &str, detail: &str, more: &str) -> String {
    let reason = status.canonical_reason().unwrap_or("Error");
    let body = json!({
        "type": format!("urn:usher:problem:{slug}"), "title": reason, "status": status.as_u16(), "detail": detail,
        "errors": [],
    });
    let body = body.to_string();
    format!(
        "HTTP/1.1 {} {reason}\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\n{more}\r\n{body}",
        status.as_u16(),
        body.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hyper_says_by_itself_gets_words() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                    date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        let dressed_up = dressed(bare.as_bytes()).expect("is one");
        let (head, body) = dressed_up.split_once("\r\n\r\n").expect("two parts");
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).expect("json");
        assert_eq!((&body["status"], &body["type"]), (&json!(431), &json!("urn:usher:problem:headers-too-large")));
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nx-content-type-options: nosniff\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
        ] {
            assert_eq!(dressed(other.as_bytes()), None, "{other}");
        }
        assert_eq!(dressed(&dressed_up.into_bytes()), None);
    }
}
