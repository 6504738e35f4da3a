use chrono::{DateTime, Utc};
use serde_json::Value;

/// A parsed key template: words and `{…}` places. A place is a field of the payload (`{a}`, `{order.id}`), the first
/// one that is there (`{a or b}`), `{UTC date}` or `{UTC hour}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Words(String),
    Fields(Vec<String>),
    Date,
    Hour,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the key template has an unclosed or unopened brace")]
    Brace,
    #[error("the key template has an empty place {{}}")]
    Empty,
    #[error("the key template names no field, so that all jobs would share one key")]
    NoField,
    #[error("\"{0}\" is no field name: letters, digits, _ and - are, joined by dots")]
    Field(String),
}

/// Why a payload has no key, with the RFC 6901 pointer of the field.
#[derive(Debug, PartialEq, Eq)]
pub struct NoKey {
    pub pointer: String,
    pub message: String,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            if rest.as_bytes()[open] == b'}' {
                return Err(TemplateError::Brace);
            }
            if open > 0 {
                parts.push(Part::Words(rest[..open].to_owned()));
            }
            let close = rest[open..].find('}').ok_or(TemplateError::Brace)? + open;
            parts.push(Self::place(&rest[open + 1..close])?);
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Words(rest.to_owned()));
        }
        if !parts.iter().any(|part| matches!(part, Part::Fields(_))) {
            return Err(TemplateError::NoField);
        }
        Ok(Self(parts))
    }

    fn place(text: &str) -> Result<Part, TemplateError> {
        match text.trim() {
            "" => Err(TemplateError::Empty),
            "UTC date" => Ok(Part::Date),
            "UTC hour" => Ok(Part::Hour),
            names => {
                let fields: Vec<_> = names.split(" or ").map(|name| name.trim().to_owned()).collect();
                let ok = |field: &str| {
                    field.split('.').all(|step| {
                        !step.is_empty() && step.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
                    })
                };
                match fields.iter().find(|field| !ok(field)) {
                    Some(field) => Err(TemplateError::Field(field.clone())),
                    None => Ok(Part::Fields(fields)),
                }
            }
        }
    }

    /// The picked values, in order, and the key in words.
    pub fn render(&self, payload: &Value, now: DateTime<Utc>) -> Result<(Vec<Value>, String), NoKey> {
        let mut values = Vec::new();
        let mut text = String::new();
        for part in &self.0 {
            let value = match part {
                Part::Words(words) => {
                    text.push_str(words);
                    continue;
                }
                Part::Date => Value::from(now.format("%Y-%m-%d").to_string()),
                Part::Hour => Value::from(now.format("%Y-%m-%dT%H").to_string()),
                Part::Fields(fields) => pick(payload, fields)?,
            };
            text.push_str(&in_words(&value));
            values.push(value);
        }
        // For people; the hash is over the values, so nothing is lost by cutting it.
        text.retain(|c| !c.is_control());
        let cut = text.char_indices().nth(255).map_or(text.len(), |(at, _)| at);
        text.truncate(cut);
        Ok((values, text))
    }
}

fn is_plain(value: &Value) -> bool {
    value.is_string() || value.is_boolean() || value.is_i64() || value.is_u64()
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn pick(payload: &Value, fields: &[String]) -> Result<Value, NoKey> {
    let found = fields.iter().find_map(|field| {
        let value = field.split('.').try_fold(payload, |at, step| at.get(step))?;
        (!value.is_null()).then_some((field, value))
    });
    let pointer = |field: &str| format!("/{}", field.replace('.', "/"));
    match found {
        Some((_, value)) if is_plain(value) => Ok(value.clone()),
        // Such as several recipients, in their order.
        Some((_, Value::Array(items))) if !items.is_empty() && items.iter().all(is_plain) => Ok(items.clone().into()),
        Some((field, _)) => Err(NoKey {
            pointer: pointer(field),
            message: "is part of the idempotency key and must be a string, an integer, a boolean, or a list of these"
                .to_owned(),
        }),
        None => Err(NoKey {
            pointer: pointer(&fields[0]),
            message: format!("is part of the idempotency key and missing ({})", fields.join(" or ")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::idempotency::Key;

    fn noon() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2030, 1, 2, 12, 30, 0).single().expect("a valid date")
    }

    fn render(template: &str, payload: &Value) -> Result<(Vec<Value>, String), NoKey> {
        Template::parse(template).expect("template").render(payload, noon())
    }

    #[test]
    fn fields_alternatives_and_utc_places_are_filled_in() {
        let payload = json!({"template": null, "subject": "Hi", "to": "a@b.example", "order": {"id": 7}});
        let (values, text) = render("email-{template or subject}-{to}-{order.id}-{UTC date}", &payload).expect("key");
        assert_eq!(text, "email-Hi-a@b.example-7-2030-01-02");
        assert_eq!(values, [json!("Hi"), json!("a@b.example"), json!(7), json!("2030-01-02")]);
        assert_eq!(render("{to}{UTC hour}", &payload).expect("key").1, "a@b.example2030-01-02T12");
    }

    #[test]
    fn values_that_hold_the_separator_do_not_collide() {
        let template = "payment-{a}-{b}";
        let (one, one_text) = render(template, &json!({"a": "x-y", "b": "z"})).expect("key");
        let (two, two_text) = render(template, &json!({"a": "x", "b": "y-z"})).expect("key");
        assert_eq!(one_text, two_text);
        assert_ne!(Key::derived("t", &one, one_text).hash, Key::derived("t", &two, two_text).hash);
    }

    #[test]
    fn a_list_is_another_than_its_words() {
        let (several, text) = render("mail-{to}", &json!({"to": ["a@b.example", "c@d.example"]})).expect("key");
        assert_eq!(text, "mail-a@b.example,c@d.example");
        let (one, same) = render("mail-{to}", &json!({"to": "a@b.example,c@d.example"})).expect("key");
        assert_eq!(text, same);
        assert_ne!(Key::derived("t", &several, text).hash, Key::derived("t", &one, same).hash);
    }

    #[test]
    fn a_missing_or_inexact_field_is_named() {
        assert_eq!(render("{a or b}", &json!({})).expect_err("missing").pointer, "/a");
        for inexact in [json!({"a": 1.5}), json!({"a": []}), json!({"a": [[1]]}), json!({"a": {}})] {
            assert_eq!(render("{a}", &inexact).expect_err("inexact").pointer, "/a");
        }
    }

    #[test]
    fn templates_that_make_no_sense_are_refused() {
        for (text, error) in [
            ("a-{b", TemplateError::Brace),
            ("a}-{b}", TemplateError::Brace),
            ("{}", TemplateError::Empty),
            ("constant-{UTC date}", TemplateError::NoField),
            ("{a b}", TemplateError::Field("a b".to_owned())),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }
}
