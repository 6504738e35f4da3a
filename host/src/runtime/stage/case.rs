//! A case: a payload and what the providers say, against how it must end and what must have been asked.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{Finish, Played, Scene};
use crate::{
    ids::JobId,
    journal::{Answer, Rejection},
};

/// One file of `cases/`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(rename = "type")]
    pub job_type: String,
    /// Given to the guest as it stands here.
    pub payload: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When the first attempt begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// What the providers say, in order. A call that the host itself refuses takes none.
    #[serde(default)]
    pub answers: Vec<Said>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}

/// A provider's answer: `{"ok": {…}}`, `{"rejected": {"code": "550", "message": "no such user"}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Said {
    Ok(Value),
    Rejected(No),
    Denied(String),
    Invalid(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct No {
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// What must come of it. Of a JSON object, only the fields that stand here must be there and equal.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub end: Ending,
    #[serde(default)]
    pub effects: Vec<Asked>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Enqueued>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Published>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    Completed(Value),
    Retry(String),
    /// A permanent failure.
    Failed(String),
    /// The kind, such as `cpu-limit`.
    Trapped(String),
    /// The host ended it inside a call; the message.
    Stopped(String),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// `email.send`.
    pub call: String,
    #[serde(default)]
    pub request: Value,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enqueued {
    #[serde(rename = "type")]
    pub job_type: String,
    pub payload: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, rename = "delayMs", skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    #[serde(rename = "type")]
    pub event_type: String,
    pub data: Value,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Case {
    /// Its job has the same id and the same time each time, and so the same random numbers.
    pub fn scene(&self) -> Scene {
        Scene {
            id: JobId(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000)),
            job_type: self.job_type.clone(),
            payload: self.payload.get().to_owned(),
            tenant: self.tenant.clone().unwrap_or_else(|| "sample".to_owned()),
            attempt: 1,
            max_attempts: 11,
            at_ms: self.at.map_or(NEW_YEAR_2026, |at| u64::try_from(at.timestamp_millis()).unwrap_or_default()),
            journal: Vec::new(),
            answers: self.answers.iter().cloned().map(Answer::from).collect(),
        }
    }
}

const NEW_YEAR_2026: u64 = 1_767_225_600_000;

impl From<Said> for Answer {
    fn from(said: Said) -> Self {
        match said {
            Said::Ok(value) => Self::Ok(value),
            Said::Rejected(No { code, message, status }) => Self::Rejected(Rejection { code, message, status }),
            Said::Denied(message) => Self::Denied(message),
            Said::Invalid(message) => Self::Invalid(message),
        }
    }
}

/// What did come of it, as a case would have it.
pub fn observed(played: &Played) -> Expect {
    let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    Expect {
        end: match &played.end {
            Finish::Completed(result) => Ending::Completed(json(result)),
            Finish::Retry { message, .. } => Ending::Retry(message.clone()),
            Finish::Permanent(message) => Ending::Failed(message.clone()),
            Finish::Trapped { kind, .. } => Ending::Trapped(kind.clone()),
            Finish::Stopped { message, .. } => Ending::Stopped(message.clone()),
        },
        effects: played
            .effects
            .iter()
            .map(|effect| Asked { call: effect.call(), request: effect.request.clone() })
            .collect(),
        jobs: played
            .children
            .iter()
            .map(|child| Enqueued {
                job_type: child.job_type.clone(),
                payload: json(&child.payload),
                key: child.key.clone(),
                delay_ms: u64::try_from(child.delay.as_millis()).unwrap_or(u64::MAX),
            })
            .collect(),
        events: played
            .events
            .iter()
            .map(|(event_type, data)| Published { event_type: event_type.clone(), data: json(data) })
            .collect(),
    }
}

/// What is not as expected, each with its place.
pub fn compare(expect: &Expect, got: &Expect) -> Vec<String> {
    let mut out = Vec::new();
    match (&expect.end, &got.end) {
        (Ending::Completed(expected), Ending::Completed(result)) => within("end.completed", expected, result, &mut out),
        (expected, end) if expected == end => {}
        (expected, end) => out.push(format!("end: expected {}, is {}", shown(expected), shown(end))),
    }
    lists(
        "effects",
        &expect.effects,
        &got.effects,
        |asked| &asked.call,
        &mut out,
        |place, a, b, out| {
            if a.call != b.call {
                out.push(format!("{place}.call: expected {}, is {}", a.call, b.call));
            } else if !a.request.is_null() {
                within(&format!("{place}.request"), &a.request, &b.request, out);
            }
        },
    );
    lists(
        "jobs",
        &expect.jobs,
        &got.jobs,
        |job| &job.job_type,
        &mut out,
        |place, a, b, out| {
            if a.job_type != b.job_type {
                out.push(format!("{place}.type: expected {}, is {}", a.job_type, b.job_type));
                return;
            }
            within(&format!("{place}.payload"), &a.payload, &b.payload, out);
            if a.key.is_some() && a.key != b.key {
                out.push(format!("{place}.key: expected {}, is {}", shown(&a.key), shown(&b.key)));
            }
            if a.delay_ms != b.delay_ms {
                out.push(format!("{place}.delayMs: expected {}, is {}", a.delay_ms, b.delay_ms));
            }
        },
    );
    lists(
        "events",
        &expect.events,
        &got.events,
        |event| &event.event_type,
        &mut out,
        |place, a, b, out| {
            if a.event_type == b.event_type {
                within(&format!("{place}.data"), &a.data, &b.data, out);
            } else {
                out.push(format!("{place}.type: expected {}, is {}", a.event_type, b.event_type));
            }
        },
    );
    out
}

fn lists<T>(
    place: &str,
    expected: &[T],
    got: &[T],
    name: impl Fn(&T) -> &String,
    out: &mut Vec<String>,
    each: impl Fn(&str, &T, &T, &mut Vec<String>),
) {
    for n in 0..expected.len().max(got.len()) {
        match (expected.get(n), got.get(n)) {
            (Some(a), Some(b)) => each(&format!("{place}[{n}]"), a, b, out),
            (Some(a), None) => out.push(format!("{place}[{n}]: expected {}, is not there", name(a))),
            (None, Some(b)) => out.push(format!("{place}[{n}]: {} was not expected", name(b))),
            (None, None) => {}
        }
    }
}

/// Objects may hold more than was said.
fn within(place: &str, expected: &Value, got: &Value, out: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, value) in expected {
                within(&format!("{place}.{key}"), value, got.get(key).unwrap_or(&Value::Null), out);
            }
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            for (n, (a, b)) in expected.iter().zip(got).enumerate() {
                within(&format!("{place}[{n}]"), a, b, out);
            }
        }
        (expected, got) if expected == got => {}
        (expected, got) => out.push(format!("{place}: expected {expected}, is {got}")),
    }
}

fn shown(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expect(value: Value) -> Expect {
        serde_json::from_value(value).expect("an expectation")
    }

    #[test]
    fn what_is_not_said_need_not_be_equal_and_what_is_must_be() {
        let got = expect(json!({
            "end": {"completed": {"a": 1, "b": [1, 2]}},
            "effects": [{"call": "email.send", "request": {"to": ["a@example.com"], "subject": "Hi"}}],
        }));
        let same = expect(json!({
            "end": {"completed": {"a": 1}}, "effects": [{"call": "email.send", "request": {"subject": "Hi"}}],
        }));
        assert_eq!(compare(&same, &got), Vec::<String>::new());
        let other = expect(json!({
            "end": {"completed": {"b": [1, 3]}},
            "effects": [{"call": "email.send", "request": {"subject": "Ho"}}, {"call": "stripe.create-refund"}],
        }));
        assert_eq!(
            compare(&other, &got),
            [
                "end.completed.b[1]: expected 3, is 2",
                "effects[0].request.subject: expected \"Ho\", is \"Hi\"",
                "effects[1]: expected stripe.create-refund, is not there",
            ]
        );
    }

    #[test]
    fn an_effect_nobody_expected_and_another_end_are_told() {
        let got = expect(json!({"end": {"failed": "no"}, "effects": [{"call": "upstream.call", "request": {}}]}));
        let said = compare(&expect(json!({"end": {"completed": null}})), &got);
        assert_eq!(
            said,
            [r#"end: expected {"completed":null}, is {"failed":"no"}"#, "effects[0]: upstream.call was not expected"]
        );
    }

    #[test]
    fn a_case_keeps_its_payload_as_it_was_written() {
        let text = r#"{"type": "a", "payload": {"z": 1,  "a": 1.0}}"#;
        let case: Case = serde_json::from_str(text).expect("a case");
        assert_eq!(case.scene().payload, r#"{"z": 1,  "a": 1.0}"#);
        assert!(serde_json::from_str::<Case>(r#"{"type": "a", "payload": 1, "answer": []}"#).is_err());
    }
}
