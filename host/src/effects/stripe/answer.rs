use std::time::Duration;

use reqwest::{Response, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use super::What;
use crate::{
    effects::{CallEnd, card},
    journal::{Answer, Rejection},
};

/// Longest answer that is read, in bytes: a page of a hundred objects, each with all the metadata that one may have.
const MAX_BODY: usize = 4 << 20;
/// Longest answer that a guest is given whole.
const MAX_RAW: usize = 64 << 10;
/// Longest wait that is believed.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// What came back, before anybody says what it means.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub is_replayed: bool,
    pub retry_after: Option<Duration>,
    pub body: Value,
}

impl Reply {
    /// An error is the text of what broke off.
    pub async fn read(mut response: Response) -> Result<Self, String> {
        let status = response.status();
        let headers = response.headers();
        let is_replayed = headers.get("idempotent-replayed").is_some_and(|value| value == "true");
        let retry_after = retry_after(headers);
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() <= MAX_BODY => bytes.extend_from_slice(&chunk),
                Ok(Some(_)) => return Err(format!("Stripe's answer is longer than {MAX_BODY} bytes")),
                Ok(None) => break,
                Err(error) => return Err(plain(&error)),
            }
        }
        // A gateway in between answers in HTML.
        let mut body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        card::veil(&mut body);
        Ok(Self { status, is_replayed, retry_after, body })
    }

    fn error(&self, field: &str) -> Option<&str> {
        self.body["error"][field].as_str()
    }

    fn said(&self) -> String {
        let message = self.error("message").or(self.error("code")).unwrap_or("no reason given");
        format!("Stripe answered {}: {}", self.status.as_u16(), message.chars().take(300).collect::<String>())
    }
}

/// Each answer of Stripe's and what it means: the table in docs/security.md, in code.
pub(super) fn meaning(what: &What, reply: Reply) -> CallEnd {
    let status = reply.status.as_u16();
    match status {
        200..=299 => match outcome(what, &reply.body) {
            Some(value) => CallEnd::Answer(Answer::Ok(value)),
            None => lost(what, "Stripe's answer is not what was asked for".to_owned()),
        },
        // Nothing was done, and the caller can do nothing about it: the operator's key is wrong or may not do this.
        401 | 403 => CallEnd::Unreachable(format!("{} (see the profile's key)", reply.said())),
        // Under this key something else was asked before: not ours to repeat.
        400 if reply.error("type") == Some("idempotency_error") => CallEnd::Unknown(reply.said()),
        // Another call under this key is under way, or a lock was not had: not executed.
        409 => CallEnd::Transient { message: reply.said(), retry_after: None },
        429 => CallEnd::Transient { message: reply.said(), retry_after: reply.retry_after },
        // The same failure would be replayed for ever under this key, and what it did nobody says.
        500..=599 if reply.is_replayed && !what.is_read() => CallEnd::Unknown(reply.said()),
        500..=599 => lost(what, reply.said()),
        // Only Stripe itself can say that nothing was done; a proxy's word is none, and neither is "too early" or "try later".
        408 | 421 | 424 | 425 => lost(what, reply.said()),
        400..=499 if reply.error("type").is_none() => lost(what, reply.said()),
        400..=499 => CallEnd::Answer(Answer::Rejected(Rejection {
            code: reply
                .error("decline_code")
                .or(reply.error("code"))
                .or(reply.error("type"))
                .unwrap_or("rejected")
                .to_owned(),
            message: reply.error("message").unwrap_or_default().chars().take(500).collect(),
            status: Some(status),
        })),
        _ => lost(what, reply.said()),
    }
}

/// It may have happened. A read is simply made again.
pub(super) fn lost(what: &What, message: String) -> CallEnd {
    if what.is_read() {
        CallEnd::Transient { message, retry_after: None }
    } else {
        CallEnd::Doubt { message, retry_after: None }
    }
}

/// `usher:plugin/stripe.outcome`. `None`: it is not an object of the kind.
pub(super) fn outcome(what: &What, object: &Value) -> Option<Value> {
    let amount = match what {
        What::Capture { .. } => object.get("amount_received").or(object.get("amount")),
        _ => object.get("amount"),
    };
    Some(json!({
        "id": object["id"].as_str()?,
        // A transfer has none.
        "status": object["status"].as_str().unwrap_or("created"),
        "amount": amount?.as_u64()?,
        "currency": object["currency"].as_str()?,
        "raw": raw(object),
    }))
}

/// The object as the journal may keep it and a guest may see it.
pub(super) fn raw(object: &Value) -> String {
    let mut shown = object.clone();
    without_secrets(&mut shown);
    let shown = shown.to_string();
    if shown.len() > MAX_RAW {
        return json!({ "id": object["id"], "usherTruncated": true }).to_string();
    }
    shown
}

/// A payment intent carries the key that lets a browser confirm it, also in addresses that it sends a browser to.
fn without_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("client_secret");
            fields.values_mut().for_each(without_secrets);
        }
        Value::Array(items) => items.iter_mut().for_each(without_secrets),
        Value::String(text) if text.contains("client_secret=") || text.contains("_secret_") => {
            *text = "***".to_owned();
        }
        _ => {}
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}

/// Without the URL.
pub(super) fn plain(error: &reqwest::Error) -> String {
    match error {
        e if e.is_timeout() => "Stripe did not answer in time".to_owned(),
        e if e.is_connect() => "Stripe cannot be reached".to_owned(),
        e if e.is_body() || e.is_decode() => "Stripe's answer broke off".to_owned(),
        _ => "the call to Stripe broke off".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: Value) -> Reply {
        Reply { status: StatusCode::from_u16(status).expect("a status"), is_replayed: false, retry_after: None, body }
    }

    fn said(status: u16, error: Value) -> CallEnd {
        meaning(&What::Payment { confirm: true }, reply(status, json!({ "error": error })))
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let declined = said(
            402,
            json!({"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "message": "No."}),
        );
        let CallEnd::Answer(Answer::Rejected(no)) = declined else { panic!("{declined:?}") };
        assert_eq!((no.code.as_str(), no.status), ("insufficient_funds", Some(402)));
        assert!(matches!(said(400, json!({"type": "invalid_request_error", "code": "parameter_missing"})),
            CallEnd::Answer(Answer::Rejected(no)) if no.code == "parameter_missing"));
        assert!(matches!(said(404, json!({"type": "invalid_request_error"})), CallEnd::Answer(Answer::Rejected(_))));
        assert!(matches!(said(404, json!({})), CallEnd::Doubt { .. }), "a proxy's");
        assert!(matches!(said(408, json!({"type": "api_error"})), CallEnd::Doubt { .. }));
        assert!(matches!(said(400, json!({"type": "idempotency_error"})), CallEnd::Unknown(_)));
        assert!(matches!(said(401, json!({})), CallEnd::Unreachable(_)));
        assert!(matches!(said(403, json!({})), CallEnd::Unreachable(_)));
        assert!(matches!(said(409, json!({})), CallEnd::Transient { .. }));
        assert!(matches!(said(429, json!({})), CallEnd::Transient { .. }));
        assert!(matches!(said(500, json!({})), CallEnd::Doubt { .. }));
        assert!(matches!(said(502, json!({})), CallEnd::Doubt { .. }));
        assert!(
            matches!(said(302, json!({})), CallEnd::Doubt { .. }),
            "no redirect is followed, and none is an answer"
        );
        let mut sticky = reply(500, Value::Null);
        sticky.is_replayed = true;
        assert!(matches!(meaning(&What::Payout, sticky), CallEnd::Unknown(_)));
        let get = What::Get { id: "pi_1".to_owned() };
        assert!(matches!(meaning(&get, reply(500, Value::Null)), CallEnd::Transient { .. }));
    }

    #[test]
    fn words_that_are_new_come_through_as_they_are() {
        let object =
            json!({"id": "pi_1", "status": "waits_for_the_moon", "amount": 5, "currency": "eur", "moon": "full"});
        let what = What::Payment { confirm: true };
        let CallEnd::Answer(Answer::Ok(value)) = meaning(&what, reply(200, object)) else { panic!("an answer") };
        assert_eq!(value["status"], "waits_for_the_moon");
        assert!(value["raw"].as_str().is_some_and(|raw| raw.contains("\"moon\":\"full\"")), "{value}");
        let declined = said(402, json!({"type": "card_error", "decline_code": "no_moon", "message": "No."}));
        assert!(matches!(declined, CallEnd::Answer(Answer::Rejected(no)) if no.code == "no_moon"));
    }

    #[test]
    fn what_is_no_such_object_is_doubt_and_secrets_stay_out() {
        let what = What::Payment { confirm: true };
        for body in
            [Value::Null, json!([]), json!({"id": "pi_1"}), json!({"id": "pi_1", "amount": -1, "currency": "eur"})]
        {
            assert!(matches!(meaning(&what, reply(200, body)), CallEnd::Doubt { .. }));
        }
        let object = json!({"id": "pi_1", "status": "succeeded", "amount": 5, "currency": "eur", "client_secret": "s3cret",
            "latest": [{"client_secret": "s3cret"}],
            "next_action": {"redirect_to_url": {"url": "https://hooks.stripe.com/r?client_secret=s3cret&x=1"}},
            "note": "pi_1_secret_s3cret"});
        let CallEnd::Answer(Answer::Ok(value)) = meaning(&what, reply(200, object)) else { panic!("an answer") };
        assert!(!value.to_string().contains("s3cret"));
    }
}
