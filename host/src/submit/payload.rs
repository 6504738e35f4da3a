use std::{cell::RefCell, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Violation;

/// Longest payload, in bytes of its text.
pub const MAX_PAYLOAD: usize = 256 * 1024;
/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 64;
/// A number with more digits than this has no exact 64-bit form; two such numbers could pass for one.
const MAX_DIGITS: usize = 19;

/// Parses a payload, refusing what some reader down the line would misread: duplicate keys, NUL characters, numbers
/// beyond 64 bits, deep nesting. The first finding is reported, with its place.
pub fn parse(text: &str) -> Result<Value, Violation> {
    if let Some(literal) = long_number(text) {
        return Err(Violation {
            pointer: String::new(),
            message: format!("holds a number of more than {MAX_DIGITS} digits ({literal}…); send it as a string"),
        });
    }
    let place = RefCell::new(Vec::new());
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = Seed { place: &place, depth: 0 }.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    parsed.map_err(|error| {
        let message = error.to_string();
        // serde_json appends its own place; ours is the pointer.
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        Violation { pointer: pointer(&place.borrow()), message }
    })
}

fn pointer(place: &[String]) -> String {
    place.iter().rev().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}

/// The head of a number literal with too many digits, if there is one outside of strings.
fn long_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'0'..=b'9' => {
                let from = at;
                while at < bytes.len() && (bytes[at].is_ascii_digit() || bytes[at] == b'.') {
                    at += 1;
                }
                if bytes[from..at].iter().filter(|b| b.is_ascii_digit()).count() > MAX_DIGITS {
                    return text.get(from..from + MAX_DIGITS);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// Builds a `Value`. On an error each level adds its step to the place on the way out, so that a sound document pays
/// nothing for it.
#[derive(Clone, Copy)]
struct Seed<'a> {
    place: &'a RefCell<Vec<String>>,
    depth: usize,
}

impl<'a> Seed<'a> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn text<E: de::Error>(text: &str) -> Result<(), E> {
        if text.contains('\0') {
            return Err(E::custom("holds the character \\u0000"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Value, E> {
        Seed::text(v)?;
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        loop {
            match seq.next_element_seed(inner) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(Value::Array(items)),
                Err(error) => {
                    self.place.borrow_mut().push(items.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            Seed::text(&key)?;
            let value = if object.contains_key(&key) {
                Err(de::Error::custom("is there twice"))
            } else {
                map.next_value_seed(inner)
            };
            match value {
                Ok(value) => object.insert(key, value),
                Err(error) => {
                    self.place.borrow_mut().push(key);
                    return Err(error);
                }
            };
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, String) {
        let violation = parse(text).expect_err(text);
        (violation.pointer, violation.message)
    }

    #[test]
    fn what_is_plain_comes_through() {
        let text = r#"{"a":[1,-2.5,1e3,true,null,"é"],"b":{"c":18446744073709551615}}"#;
        // 20 digits, but it is the largest one that still fits: the limit is on what could be misread.
        assert!(parse(text).is_err());
        let text = r#"{"a":[1,-2.5,1e3,true,null,"é 12345678901234567890123"],"b":{"c":1844674407370955161}}"#;
        assert_eq!(parse(text).expect("plain"), serde_json::from_str::<Value>(text).expect("json"));
    }

    #[test]
    fn what_another_reader_would_misread_is_refused_with_its_place() {
        assert_eq!(refused(r#"{"a":{"b":1,"b":2}}"#), ("/a/b".into(), "is there twice".into()));
        assert_eq!(refused(r#"{"a":["x","\u0000"]}"#), ("/a/1".into(), "holds the character \\u0000".into()));
        assert_eq!(refused(r#"{"x":{"\u0000":1}}"#).1, "holds the character \\u0000");
        assert_eq!(refused(r#"{"a":1e400000}"#), ("/a".into(), "number out of range".into()));
        assert!(refused(r#"{"a":123456789012345678901}"#).1.contains("send it as a string"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert!(refused(&nested(MAX_DEPTH + 1)).1.contains("deeper than 64"));
        assert!(refused(&nested(10_000)).1.contains("deeper than 64"));
    }
}
