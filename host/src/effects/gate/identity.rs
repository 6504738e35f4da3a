use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{idempotency::canonical, journal::Recorded};

/// sha256 over provider, function and the canonical request.
pub(super) fn request_hash(provider: &str, function: &str, identity: &Value) -> [u8; 32] {
    let text = canonical(identity);
    // Neither name holds a NUL, so the parts cannot run into each other.
    Sha256::new()
        .chain_update(provider)
        .chain_update([0])
        .chain_update(function)
        .chain_update([0])
        .chain_update(text)
        .finalize()
        .into()
}

/// What differs between the journaled request and the one made now, by field, for the person who reads the dead job.
/// Both sides are redacted forms, so a difference may also lie in what they hide.
pub(super) fn difference(recorded: &Recorded, provider: &str, function: &str, redacted: &Value) -> String {
    let mut lines = Vec::new();
    if recorded.provider != provider || recorded.function != function {
        lines.push(format!("call: journaled {}.{}, now {provider}.{function}", recorded.provider, recorded.function));
    }
    if let (Value::Object(then), Value::Object(now)) = (&recorded.request, redacted) {
        let mut fields: Vec<&String> = then.keys().chain(now.keys()).collect();
        fields.sort_unstable();
        fields.dedup();
        for field in fields {
            let (a, b) = (then.get(field), now.get(field));
            if a != b {
                let show = |v: Option<&Value>| v.map_or_else(|| "absent".to_owned(), Value::to_string);
                lines.push(format!("{field}: journaled {}, now {}", show(a), show(b)));
            }
        }
    }
    if lines.is_empty() {
        lines.push("the requests differ in a part that is not stored in clear".to_owned());
    }
    format!("effect {} differs from the journal: {}", recorded.seq, lines.join("; "))
}

/// Postgres's jsonb takes no NUL. A provider's answer must never be lost because of one.
pub(in crate::effects) fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        Value::Object(map) => {
            if map.keys().any(|key| key.contains('\0')) {
                *map = std::mem::take(map).into_iter().map(|(k, v)| (k.replace('\0', "\u{fffd}"), v)).collect();
            }
            map.values_mut().for_each(without_nul);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_does_not_make_another_request() {
        let a = serde_json::from_str::<Value>(r#"{"a":1,"b":[{"x":1,"y":2}]}"#).expect("json");
        let b = serde_json::from_str::<Value>(r#"{"b":[{"y":2,"x":1}],"a":1}"#).expect("json");
        assert_eq!(request_hash("email", "send", &a), request_hash("email", "send", &b));
        assert_ne!(request_hash("email", "send", &a), request_hash("email", "send-template", &a));
        assert_ne!(request_hash("email", "send", &a), request_hash("email", "send", &json!({"a": 2})));
    }

    /// Another hash of the same request would end every job that has a journal.
    #[test]
    fn a_request_has_the_same_hash_in_every_version() {
        let request = json!({"payment": "pi_1", "amount": 1200, "metadata": [["order", "o-1"]]});
        assert_eq!(
            hex::encode(request_hash("stripe", "create-refund", &request)),
            "e63b034e33509923149a9b822aa4b6e2da6694e4aa9e5679d228f11206353249"
        );
    }

    #[test]
    fn nul_is_replaced_wherever_it_hides() {
        let mut value = json!({"k\0": ["a\0b", {"c": "\0"}]});
        without_nul(&mut value);
        assert!(!value.to_string().contains("\\u0000"));
    }
}
