//! The shape of Twilio's "Messages resource" (`POST /2010-04-01/Accounts/{AccountSid}/Messages.json`), which others offer too.

use std::sync::Arc;

use serde_json::{Value, json};
use url::form_urlencoded;

use super::mask;
use crate::{
    config::SmsProfile,
    effects::{
        CallEnd,
        upstream::{Outgoing, Reply, Target},
    },
    journal::{Answer, Rejection},
};

/// `Err`: what the job's tenant lacks.
pub(super) fn request(
    profile: &SmsProfile,
    target: &Arc<Target>,
    to: &str,
    text: &str,
    tenant: &str,
) -> Result<Outgoing, String> {
    let path = format!("/2010-04-01/Accounts/{}/Messages.json", profile.account);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("To", to);
    if let Some(from) = &profile.from {
        form.append_pair("From", from);
    }
    if let Some(service) = &profile.messaging_service {
        form.append_pair("MessagingServiceSid", service);
    }
    let body = form.append_pair("Body", text).finish();
    let outgoing = Outgoing::post(target, &path, "application/x-www-form-urlencoded", tenant)?;
    Ok(outgoing.with_body(body.into_bytes()))
}

/// Each answer and what it means: the table in docs/security.md, in code. Twilio, "Twilio API responses" (an error is an object
/// of `code`, `message` and `status`), "Error 20429" (what is answered 429 was not processed), "Error and Warning Dictionary"
/// (20xxx is about account and platform, 21xxx about the request).
pub(super) fn meaning(reply: &Reply) -> CallEnd {
    let (status, body) = (reply.status.as_u16(), reply.json());
    let code = body["code"].as_u64();
    let is_own = code.is_some();
    let said = said(status, &body);
    match status {
        200..=299 => match (body["sid"].as_str(), body["status"].as_str()) {
            (Some(id), Some(state)) if !id.is_empty() && !state.is_empty() => {
                CallEnd::Answer(Answer::Ok(json!({ "id": id, "status": state })))
            }
            _ => CallEnd::doubt(format!("{said}, and it is no message")),
        },
        429 => CallEnd::Transient { message: said, retry_after: reply.retry_after },
        // A gateway's word would not say whether anything was done.
        503 if is_own => CallEnd::Transient { message: said, retry_after: reply.retry_after },
        401 => CallEnd::Unreachable(format!("{said} (see the upstream's credential)")),
        // The account is closed or not there, or may not do this.
        403 | 404 if code.is_none_or(|code| (20_000..21_000).contains(&code)) => {
            CallEnd::Unreachable(format!("{said} (see the profile's account and the upstream's credential)"))
        }
        400..=499 if is_own && !matches!(status, 408 | 425) => CallEnd::Answer(Answer::Rejected(Rejection {
            code: code.unwrap_or_default().to_string(),
            message: mask::words(body["message"].as_str().unwrap_or_default()).chars().take(500).collect(),
            status: Some(status),
        })),
        _ => CallEnd::doubt(said),
    }
}

fn said(status: u16, body: &Value) -> String {
    match (body["code"].as_u64(), body["message"].as_str()) {
        (Some(code), Some(message)) => {
            let message: String = mask::words(message).chars().take(300).collect();
            format!("the SMS provider answered {status}: {message} ({code})")
        }
        _ => format!("the SMS provider answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::StatusCode;

    use super::*;
    use crate::effects::upstream::Body;

    fn reply(status: u16, body: &Value) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).expect("a status"),
            retry_after: Some(Duration::from_secs(7)),
            headers: Vec::new(),
            body: Body::Whole(body.to_string().into_bytes()),
        }
    }

    fn error(status: u16, code: u64) -> CallEnd {
        meaning(&reply(status, &json!({"code": code, "message": "To +4915112345678 is wrong", "status": status})))
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let sent = meaning(&reply(201, &json!({"sid": "SM1", "status": "queued", "to": "+4915112345678"})));
        assert_eq!(sent, CallEnd::Answer(Answer::Ok(json!({"id": "SM1", "status": "queued"}))));
        for (status, code) in [(400, 21_211), (400, 21_610), (403, 21_408), (404, 21_703), (422, 30_000)] {
            let CallEnd::Answer(Answer::Rejected(no)) = error(status, code) else { panic!("{status} {code}") };
            assert_eq!((no.code, no.status), (code.to_string(), Some(status)));
            assert_eq!(no.message, "To +49…78 is wrong");
        }
        for (status, code) in [(401, 20_003), (403, 20_005), (404, 20_404)] {
            assert!(matches!(error(status, code), CallEnd::Unreachable(_)), "{status} {code}");
        }
        for status in [401, 403, 404] {
            assert!(matches!(meaning(&reply(status, &Value::Null)), CallEnd::Unreachable(_)), "{status}");
        }
        for (status, code) in [(429, 20_429), (503, 20_503)] {
            let CallEnd::Transient { message, retry_after } = error(status, code) else { panic!("{status}") };
            assert_eq!(retry_after, Some(Duration::from_secs(7)));
            assert!(message.contains("+49…78"), "{message}");
        }
        assert!(matches!(meaning(&reply(429, &Value::Null)), CallEnd::Transient { .. }));
        for status in [408, 425, 500, 502, 504] {
            assert!(matches!(error(status, 20_500), CallEnd::Doubt { .. }), "{status}");
        }
        for (status, body) in [
            (400, Value::Null),
            (503, Value::Null),
            (302, Value::Null),
            (200, json!({"sid": "SM1"})),
            (201, json!({"status": "queued", "sid": ""})),
            (204, Value::Null),
        ] {
            assert!(matches!(meaning(&reply(status, &body)), CallEnd::Doubt { .. }), "{status} {body}");
        }
        let mut cut = reply(201, &Value::Null);
        cut.body = Body::BrokenOff("broke off".to_owned());
        assert!(matches!(meaning(&cut), CallEnd::Doubt { .. }));
    }
}
