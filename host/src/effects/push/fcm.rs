//! The shape of the FCM HTTP v1 API (`POST /v1/projects/{project}/messages:send`).

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{Notification, To, short};
use crate::{
    config::PushProfile,
    effects::{
        CallEnd,
        upstream::{Outgoing, Reply, Target},
    },
    ids::EffectId,
    journal::{Answer, Rejection},
};

/// Bytes of all keys and values together: Firebase, "ErrorCode", INVALID_ARGUMENT.
const MAX_TO_TOKEN: usize = 4_096;
const MAX_TO_TOPIC: usize = 2_048;

/// What the service would refuse, told before anything is sent. Firebase, "REST Resource: projects.messages", on `data`.
pub(super) fn check(to: &To, title: &str, body: &str, data: &BTreeMap<String, String>) -> Result<(), String> {
    for key in data.keys() {
        let is_reserved = ["from", "message_type"].contains(&key.as_str());
        if key.is_empty() || is_reserved || ["google", "gcm"].iter().any(|word| key.starts_with(word)) {
            return Err(
                "data: a key is not empty, not from or message_type, and does not begin with google or gcm".to_owned()
            );
        }
    }
    let bytes = title.len() + body.len() + data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    let most = match to {
        To::Token(_) => MAX_TO_TOKEN,
        To::Topic(_) => MAX_TO_TOPIC,
    };
    if bytes > most {
        return Err(format!("title, body and data have {bytes} bytes together; {most} are allowed"));
    }
    Ok(())
}

/// `Err`: what the job's tenant lacks.
pub(super) fn request(profile: &PushProfile, target: &Arc<Target>, tenant: &str) -> Result<Outgoing, String> {
    let path = format!("/v1/projects/{}/messages:send", profile.project);
    Outgoing::post(target, &path, "application/json", tenant)
}

/// There is no idempotency key. The copies of one notification bear its effect's id, by which a device puts the newer in the
/// older one's place: Android and browsers by `tag`, Apple's by `apns-collapse-id` (at most 64 bytes), and a browser's push
/// service by `Topic` (RFC 8030, section 5.4: at most 32 characters) while it waits for the browser. `collapse_key` is left
/// out: notifications don't heed it, and FCM keeps no more than four of them for a device ("Non-collapsible and collapsible
/// messages").
pub(super) fn body(id: EffectId, notification: &Notification) -> Vec<u8> {
    let name = id.to_string();
    let mut message = json!({
        "notification": { "title": notification.title, "body": notification.body },
        "android": { "notification": { "tag": name } },
        "apns": { "headers": { "apns-collapse-id": name } },
        "webpush": {
            "headers": { "Topic": URL_SAFE_NO_PAD.encode(id.0.as_bytes()) },
            "notification": { "tag": name },
        },
    });
    match &notification.to {
        To::Token(token) => message["token"] = json!(token),
        To::Topic(topic) => message["topic"] = json!(topic),
    }
    if !notification.data.is_empty() {
        message["data"] = json!(notification.data);
    }
    json!({ "message": message }).to_string().into_bytes()
}

/// Each answer and what it means: the table in docs/security.md, in code. Firebase, "ErrorCode" and "REST error codes for the
/// HTTP v1 API": the error's `details` hold an `FcmError` with an `errorCode`; `status` is Google's own word.
pub(super) fn meaning(to: &To, reply: &Reply) -> CallEnd {
    let (status, body) = (reply.status.as_u16(), reply.json());
    let error = &body["error"];
    let details = error["details"].as_array().map_or(&[][..], Vec::as_slice);
    let code = details.iter().find_map(|detail| detail["errorCode"].as_str());
    let own = code.or(error["status"].as_str());
    let words: String = shown(to, error["message"].as_str().unwrap_or_default()).chars().take(300).collect();
    let said = match own {
        Some(code) => format!("the push provider answered {status}: {words} ({code})"),
        None => format!("the push provider answered {status}"),
    };
    match (status, own) {
        (200..=299, _) => match body["name"].as_str() {
            Some(id) if !id.is_empty() => CallEnd::Answer(Answer::Ok(json!({ "id": id }))),
            _ => CallEnd::doubt(format!("{said}, and it is no message")),
        },
        (429, _) => CallEnd::Transient { message: said, retry_after: reply.retry_after },
        // A gateway's word would not say whether anything was done.
        (503, Some(_)) => CallEnd::Transient { message: said, retry_after: reply.retry_after },
        // The token that was sent, or the keys that the project has for Apple's and the browsers' services.
        (401, _) => CallEnd::Unreachable(format!("{said} (see the upstream's service account)")),
        (403, _) if code != Some("SENDER_ID_MISMATCH") => {
            CallEnd::Unreachable(format!("{said} (see the roles of the upstream's service account)"))
        }
        (404, _) if code != Some("UNREGISTERED") => CallEnd::Unreachable(format!("{said} (see the profile's project)")),
        (408 | 425, _) => CallEnd::doubt(said),
        (400..=499, Some(own)) => {
            CallEnd::Answer(Answer::Rejected(Rejection { code: own.to_owned(), message: words, status: Some(status) }))
        }
        _ => CallEnd::doubt(said),
    }
}

/// Its words may repeat the token.
fn shown(to: &To, said: &str) -> String {
    match to {
        To::Token(token) => said.replace(token.as_str(), &short(token)),
        To::Topic(_) => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use std::time::Duration;

    use reqwest::StatusCode;

    use super::*;
    use crate::effects::upstream::Body;

    const TOKEN: &str = "fGh3k2:APA91bH-_x0123";

    fn ends(status: u16, body: &Value) -> CallEnd {
        let reply = Reply {
            status: StatusCode::from_u16(status).expect("a status"),
            retry_after: Some(Duration::from_secs(7)),
            headers: Vec::new(),
            body: Body::Whole(body.to_string().into_bytes()),
        };
        meaning(&To::Token(TOKEN.to_owned()), &reply)
    }

    fn error(status: u16, word: &str, code: Option<&str>) -> CallEnd {
        let details =
            code.map(|code| json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}));
        let message = format!("About {TOKEN}.");
        ends(
            status,
            &json!({"error": {"code": status, "message": message, "status": word, "details": details.as_slice()}}),
        )
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let sent = ends(200, &json!({"name": "projects/p/messages/1"}));
        assert_eq!(sent, CallEnd::Answer(Answer::Ok(json!({"id": "projects/p/messages/1"}))));
        for (status, word, code, told) in [
            (400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), "INVALID_ARGUMENT"),
            (400, "INVALID_ARGUMENT", None, "INVALID_ARGUMENT"),
            (404, "NOT_FOUND", Some("UNREGISTERED"), "UNREGISTERED"),
            (403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), "SENDER_ID_MISMATCH"),
        ] {
            let CallEnd::Answer(Answer::Rejected(no)) = error(status, word, code) else { panic!("{status} {word}") };
            assert_eq!((no.code.as_str(), no.status, no.message.as_str()), (told, Some(status), "About fGh3k2…."));
        }
        for (status, word, code) in [
            (401, "UNAUTHENTICATED", None),
            (401, "UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR")),
            (403, "PERMISSION_DENIED", None),
            (404, "NOT_FOUND", None),
        ] {
            let CallEnd::Unreachable(said) = error(status, word, code) else { panic!("{status} {word}") };
            assert!(!said.contains(TOKEN), "{said}");
        }
        for (status, word, code) in [(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), (503, "UNAVAILABLE", "UNAVAILABLE")]
        {
            let CallEnd::Transient { retry_after, .. } = error(status, word, Some(code)) else { panic!("{status}") };
            assert_eq!(retry_after, Some(Duration::from_secs(7)));
        }
        for status in [408, 425, 500, 502, 504] {
            assert!(matches!(error(status, "INTERNAL", Some("INTERNAL")), CallEnd::Doubt { .. }), "{status}");
        }
        for (status, body) in
            [(400, Value::Null), (503, Value::Null), (302, Value::Null), (200, Value::Null), (200, json!({"name": ""}))]
        {
            assert!(matches!(ends(status, &body), CallEnd::Doubt { .. }), "{status} {body}");
        }
    }

    #[test]
    fn what_the_service_would_refuse_is_refused_before() {
        let fcm =
            |to: &To, body: &str, key: &str| check(to, "t", body, &BTreeMap::from([(key.to_owned(), "v".to_owned())]));
        let (token, topic) = (To::Token(TOKEN.to_owned()), To::Topic("news".to_owned()));
        for key in ["from", "message_type", "google.x", "googlex", "gcm", "gcm.notification.x", ""] {
            assert!(fcm(&token, "b", key).is_err_and(|why| why.starts_with("data: ")), "{key:?}");
        }
        assert_eq!(fcm(&token, &"b".repeat(4_096 - 3), "k"), Ok(()));
        assert!(fcm(&token, &"b".repeat(4_096 - 2), "k").is_err());
        assert_eq!(fcm(&topic, &"b".repeat(2_048 - 3), "k"), Ok(()));
        assert!(fcm(&topic, &"b".repeat(2_048 - 2), "k").is_err());
    }
}
