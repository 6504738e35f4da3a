use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::InboundError;
use crate::{
    auth::is_tenant,
    effects::stripe::{self, EFFECT, TENANT},
    ids::EffectId,
};

/// An event of Stripe's (a "snapshot event", docs.stripe.com/api/events/object), read: what is not named here is not looked at.
#[derive(Debug)]
pub(super) struct Event {
    pub id: String,
    pub event_type: String,
    /// The connected account that it is about.
    pub account: Option<String>,
    pub livemode: bool,
    pub created: DateTime<Utc>,
    pub object_id: Option<String>,
    /// As its mark says.
    pub effect: Option<EffectId>,
    pub marked_tenant: Option<String>,
    api_version: Option<String>,
    object: Value,
}

impl Event {
    pub fn read(body: &[u8]) -> Result<Self, InboundError> {
        let mut value: Value = serde_json::from_slice(body)
            .map_err(|error| InboundError::Json { line: error.line(), column: error.column() })?;
        let no = |pointer, message| InboundError::Event { pointer, message };
        if value["object"] != "event" {
            return Err(no("/object", "must be \"event\""));
        }
        let id = word(&value["id"], is_id).filter(|id| id.starts_with("evt_"));
        let account = match &value["account"] {
            Value::Null => None,
            account => Some(word(account, is_id).ok_or_else(|| no("/account", "must be an account's id"))?),
        };
        let created = value["created"].as_i64().and_then(|at| DateTime::from_timestamp(at, 0));
        let mut event = Self {
            id: id.ok_or_else(|| no("/id", "must be an event's id (evt_…)"))?,
            event_type: word(&value["type"], is_type).ok_or_else(|| no("/type", "must be an event's type"))?,
            account,
            livemode: value["livemode"].as_bool().ok_or_else(|| no("/livemode", "must be true or false"))?,
            created: created.ok_or_else(|| no("/created", "must be seconds since the Unix epoch"))?,
            object_id: None,
            effect: None,
            marked_tenant: None,
            api_version: word(&value["api_version"], is_id),
            object: value.pointer_mut("/data/object").map_or(Value::Null, Value::take),
        };
        if !event.object.is_object() {
            return Err(no("/data/object", "must be an object"));
        }
        event.object_id = word(&event.object["id"], is_id);
        let metadata = &event.object["metadata"];
        event.effect = metadata[EFFECT].as_str().and_then(|id| id.parse().ok());
        event.marked_tenant = word(&metadata[TENANT], is_tenant);
        Ok(event)
    }

    /// The payment that its object is, or is about.
    pub fn payment(&self) -> Option<String> {
        // An object that was asked to be shown whole stands in place of its id.
        let of = |field: &Value| word(field, is_id).or_else(|| word(&field["id"], is_id));
        match self.object["object"].as_str() {
            Some("payment_intent") => self.object_id.clone(),
            _ => of(&self.object["payment_intent"]),
        }
    }

    /// The ids by which the ledger may know it.
    pub fn ledger_ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.object_id.iter().cloned().chain(self.payment()).collect();
        ids.dedup();
        ids
    }

    /// Of the jobs that it becomes, as docs/operators.md has it.
    pub fn payload(&self) -> String {
        let event = json!({
            "id": self.id, "type": self.event_type, "created": self.created.timestamp(), "account": self.account,
            "livemode": self.livemode, "apiVersion": self.api_version, "object": stripe::shown(self.object.clone()),
        });
        json!({ "event": event }).to_string()
    }
}

fn word(value: &Value, is_sound: fn(&str) -> bool) -> Option<String> {
    value.as_str().filter(|text| is_sound(text)).map(str::to_owned)
}

/// Goes into logs, and into keys.
fn is_id(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn is_type(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Value {
        json!({
            "id": "evt_1", "object": "event", "type": "charge.dispute.created", "created": 1_700_000_000, "livemode": false,
            "api_version": "2026-08-26.dahlia", "pending_webhooks": 1, "new": {"a": 1},
            "data": {"object": {
                "id": "du_1", "object": "dispute", "payment_intent": "pi_1", "amount": 5, "note": "4242 4242 4242 4242",
                "client_secret": "s3cret", "nul": "a\u{0}b",
                "metadata": {"usher_effect": "0b7ad9b5-7a8c-5f6e-8a3c-0d1e2f3a4b5c", "usher_tenant": "t1"},
            }},
        })
    }

    fn read(value: &Value) -> Result<Event, InboundError> {
        Event::read(value.to_string().as_bytes())
    }

    #[test]
    fn an_event_is_read_and_shown_without_what_nobody_should_keep() {
        let event = read(&event()).expect("an event");
        assert_eq!((event.id.as_str(), event.object_id.as_deref()), ("evt_1", Some("du_1")));
        assert_eq!(event.ledger_ids(), ["du_1", "pi_1"]);
        assert!(event.effect.is_some() && event.marked_tenant.as_deref() == Some("t1"));
        let payload: Value = serde_json::from_str(&event.payload()).expect("JSON");
        assert_eq!(payload["event"]["object"]["amount"], 5);
        assert_eq!(payload["event"]["created"], 1_700_000_000);
        let text = event.payload();
        assert!(!text.contains("4242 4242") && !text.contains("s3cret") && !text.contains("\\u0000"), "{text}");
    }

    #[test]
    fn what_is_no_event_is_told_with_its_place() {
        for (pointer, value) in [
            ("/object", json!("v2.core.event")),
            ("/id", json!("ev\n1")),
            ("/id", Value::Null),
            ("/type", json!("Charge \u{1b}[31m")),
            ("/account", json!(5)),
            ("/livemode", json!("no")),
            ("/created", json!("2026-01-01T00:00:00Z")),
        ] {
            let mut changed = event();
            changed[pointer.trim_start_matches('/')] = value;
            let Err(InboundError::Event { pointer: place, .. }) = read(&changed) else { panic!("{pointer}") };
            assert_eq!(place, pointer);
        }
        for data in [Value::Null, json!([]), json!("x"), json!({"object": []})] {
            let mut thin = event();
            thin["data"] = data;
            assert!(matches!(read(&thin), Err(InboundError::Event { pointer: "/data/object", .. })));
        }
        assert!(matches!(Event::read(b"\xff{}"), Err(InboundError::Json { .. })));
        assert!(matches!(Event::read("[".repeat(1000).as_bytes()), Err(InboundError::Json { .. })));
        assert!(matches!(Event::read(b"[]"), Err(InboundError::Event { .. })));
    }
}
