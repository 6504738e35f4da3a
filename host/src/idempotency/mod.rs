//! Idempotency keys: how one is derived, what it is compared by, and the rows that hold it.
//!
//! Owns: the key templates, the hashes, all SQL over `idempotency_keys`, and the keys of the service before this one.
//! Refuses: key fields that are missing or have no exact text (objects, arrays, floats).
//! Invariant: two different lists of values never hash to the same key: the hash is over their JSON, not over the
//! rendered words, in which a value may hold a separator.
//! Tables: idempotency_keys, imported_keys, imported_types.

pub mod imported;
mod js;
pub mod old;
pub mod store;
mod template;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::template::{Template, TemplateError};

/// A key that a new job wants to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub hash: [u8; 32],
    pub kind: Kind,
    /// In words, for people.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller's own: a repeat with another payload is an error.
    Header,
    /// From the payload: a repeat is simply the first job.
    Derived,
}

impl Key {
    pub fn from_header(job_type: &str, key: &str) -> Self {
        Self { hash: hash("header", job_type, &Value::from(key)), kind: Kind::Header, text: key.to_owned() }
    }

    /// From the values that a template picked, in its order.
    pub fn derived(job_type: &str, values: &[Value], text: String) -> Self {
        Self { hash: hash("derived", job_type, &Value::from(values)), kind: Kind::Derived, text }
    }

    /// From the whole payload, for job types that name no template.
    pub fn of_payload(job_type: &str, payload_hash: [u8; 32]) -> Self {
        let digits = hex::encode(payload_hash);
        Self {
            hash: hash("payload", job_type, &Value::from(digits.as_str())),
            kind: Kind::Derived,
            text: format!("payload-{}", &digits[..16]),
        }
    }
}

fn hash(kind: &str, job_type: &str, value: &Value) -> [u8; 32] {
    Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(job_type)
        .chain_update([0])
        .chain_update(canonical(value))
        .finalize()
        .into()
}

/// sha256 of the canonical payload: white space and the order of keys make no other payload.
pub fn payload_hash(payload: &Value) -> [u8; 32] {
    Sha256::digest(canonical(payload)).into()
}

/// JSON with sorted keys and no white space, whatever map type serde_json was built with.
pub fn canonical(value: &Value) -> String {
    let mut out = Vec::new();
    write_canonical(value, &mut out);
    // serde_json writes UTF-8.
    String::from_utf8(out).unwrap_or_default()
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (n, (key, item)) in entries.into_iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_scalar(key, out);
                out.push(b':');
                write_canonical(item, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        scalar => write_scalar(scalar, out),
    }
}

fn write_scalar(scalar: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    // Into memory, and a scalar: nothing that can fail.
    let _ = serde_json::to_writer(out, scalar);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn white_space_and_order_make_no_other_payload() {
        let a: Value = serde_json::from_str(r#"{ "b": [1, {"y":1,"x":2}], "a": "é" }"#).expect("json");
        let b: Value = serde_json::from_str(r#"{"a":"\u00e9","b":[1,{"x":2,"y":1}]}"#).expect("json");
        assert_eq!(payload_hash(&a), payload_hash(&b));
        assert_ne!(payload_hash(&a), payload_hash(&json!({"a": "é"})));
    }

    #[test]
    fn a_header_a_template_and_a_payload_never_share_a_key() {
        let derived = Key::derived("t", &[json!("k")], "k".to_owned());
        assert_ne!(Key::from_header("t", "k").hash, derived.hash);
        assert_ne!(Key::from_header("t", "k").hash, Key::from_header("u", "k").hash);
    }
}
