use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The longest wait that is honoured, in seconds.
const MOST: u64 = 60;

/// How long the caller would wait for the end of a job: the preference `wait` of RFC 7240, cut to a minute. What is not
/// understood, or is no number, is as if it were not there (section 2 of it).
pub fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    // Only the first of several of a name counts.
    let found = values.flat_map(|value| outside_quotes(value, ',')).find_map(|preference| {
        let preference = outside_quotes(preference, ';').next()?;
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim())
    })?;
    let digits = found.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(found);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than a number takes are more than a minute, too.
    Some(Duration::from_secs(digits.parse().unwrap_or(MOST).min(MOST)))
}

/// What was honoured, for the answer.
pub fn applied(wait: Duration) -> (HeaderName, HeaderValue) {
    let value = HeaderValue::try_from(format!("wait={}", wait.as_secs()));
    // A word, a sign and a number are what a header takes.
    (HeaderName::from_static("preference-applied"), value.unwrap_or(HeaderValue::from_static("wait")))
}

/// The parts of a text between separators that stand in no quoted string (RFC 9110 5.6.4).
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let is_end = !quoted && c == separator;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        is_end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", HeaderValue::from_str(value).expect("a value"));
        }
        wait(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_understood_as_the_rfc_writes_it() {
        for values in [
            &["wait=30"][..],
            &["Wait = 30"],
            &["wait=\"30\""],
            &["respond-async, wait=30"],
            &["wait=30; x=\"a;b,c\", respond-async"],
            &["note=\"a, wait=5\", wait=30"],
            &["note=\"a\\\", wait=5\"", "wait=30"],
            &["return=minimal", "wait=30", "wait=5"],
            &["", "wait=30"],
        ] {
            assert_eq!(asked(values), Some(30), "{values:?}");
        }
        assert_eq!(asked(&["wait=0"]), Some(0));
        assert_eq!(asked(&["wait=3600"]), Some(60), "cut");
        assert_eq!(asked(&["wait=99999999999999999999999999"]), Some(60));
    }

    #[test]
    fn what_is_no_wait_is_ignored() {
        for values in [
            &[][..],
            &["respond-async"],
            &["wait"],
            &["wait="],
            &["wait=soon"],
            &["wait=-1"],
            &["wait=1.5"],
            &["wait=+5"],
            &["wait=0x10"],
            &["waiting=30"],
            &["wait=soon, wait=30"],
            &["note=\"wait=30"],
            &[";wait=30"],
            &["x; wait=30"],
        ] {
            assert_eq!(asked(values), None, "{values:?}");
        }
        assert_eq!(applied(Duration::from_secs(7)).1, "wait=7");
    }
}
