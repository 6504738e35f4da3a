use std::{collections::BTreeMap, fmt};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};

use super::{pressure::Overdrawn, problem::Problem};

/// The longest body that is read: a payload, metadata and the rest.
pub(super) const MAX_BODY: usize = 512 * 1024;

/// The top level of a JSON object body, each field verbatim.
#[derive(Debug)]
pub struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// Reads a JSON object: 415 for another content type, 413 for a long one, 400 with line and column for what is no
    /// JSON, 422 for fields that are there twice or that nobody knows.
    pub async fn read(headers: &HeaderMap, body: Body, known: &[&str]) -> Result<Self, Problem> {
        let bytes = read(headers, body, MAX_BODY).await?;
        Self::parse(&bytes, known)
    }

    /// The same where a request may have no body at all.
    pub async fn read_optional(headers: &HeaderMap, body: Body, known: &[&str]) -> Result<Self, Problem> {
        if !headers.contains_key(header::CONTENT_TYPE) {
            let bytes = to_bytes(body, MAX_BODY).await.map_err(|e| unreadable(e, MAX_BODY))?;
            return if bytes.is_empty() { Ok(Self(BTreeMap::new())) } else { Err(no_json()) };
        }
        Self::read(headers, body, known).await
    }

    /// The same of bytes that are there already.
    pub fn parse(bytes: &[u8], known: &[&str]) -> Result<Self, Problem> {
        let fields = Self::parse_any(bytes)?;
        match fields.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Problem::field(
                &format!("/{}", name.replace('~', "~0").replace('/', "~1")),
                format!("unknown field; known are {}", known.join(", ")),
            )),
            None => Ok(fields),
        }
    }

    fn parse_any(bytes: &[u8]) -> Result<Self, Problem> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let fields = json.deserialize_map(FieldsVisitor).and_then(|fields| json.end().map(|()| fields));
        fields.map_err(|error| {
            let message = error.to_string();
            if error.is_data() {
                let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
                return Problem::field("", message);
            }
            Problem::new(StatusCode::BAD_REQUEST, "malformed-json", format!("The body is not JSON: {message}."))
                .with("line", error.line())
                .with("column", error.column())
        })
    }

    /// A field as text, verbatim.
    pub fn raw(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name)
    }

    /// A field of a type; `null` is absent.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.0.remove(name) else { return Ok(None) };
        value::<Option<T>>(&raw).map_err(|error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
            Problem::field(&format!("/{name}"), message)
        })
    }
}

/// In JSON `10.0` and `1e1` are the whole number 10.
pub fn value<T: DeserializeOwned>(raw: &RawValue) -> serde_json::Result<T> {
    serde_json::from_str(raw.get()).or_else(|error| {
        let mut value = serde_json::from_str(raw.get())?;
        whole(&mut value);
        serde_json::from_value(value).map_err(|_| error)
    })
}

fn whole(value: &mut Value) {
    /// Up to here each whole number is a float of its own.
    const MOST: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < MOST) {
                *number = (float as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole),
        Value::Object(members) => members.values_mut().for_each(whole),
        _ => {}
    }
}

/// A JSON body of at most `most` bytes, as it came.
pub async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
    if !is_json(headers) {
        return Err(no_json());
    }
    to_bytes(body, most).await.map_err(|error| unreadable(error, most))
}

/// Whatever it is, as it came.
pub async fn read_any(body: Body, most: usize) -> Result<Bytes, Problem> {
    to_bytes(body, most).await.map_err(|error| unreadable(error, most))
}

/// A component of at most `most` bytes.
pub async fn read_wasm(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !matches!(content_type, Some("application/wasm" | "application/octet-stream")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body must be a component, as application/wasm.",
        ));
    }
    to_bytes(body, most).await.map_err(|error| unreadable(error, most))
}

pub fn too_large(most: usize) -> Problem {
    let message = format!("The body may have at most {most} bytes.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", message)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<mime::Mime>().ok())
        .is_some_and(|mime| mime.type_() == mime::APPLICATION && mime.subtype() == mime::JSON)
}

fn no_json() -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body must be application/json.")
}

pub(super) fn unreadable(error: axum::Error, most: usize) -> Problem {
    let source = error.into_inner();
    if source.is::<http_body_util::LengthLimitError>() {
        too_large(most)
    } else if caused_by::<Overdrawn>(source.as_ref()) {
        Problem::busy("This host has too many request bodies in hand, of all or of this tenant; nothing was written.")
    } else {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body-not-received", "The body did not come in whole.")
    }
}

/// Whether there is such an error behind this one: each layer that a body passes wraps what it hands on.
fn caused_by<E: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        next = error.source();
    }
    false
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            // Checked before the value is read, so that the place of the error is the name's.
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("the field \"{name}\" is there twice")));
            }
            let value = map.next_value::<Box<RawValue>>()?;
            fields.insert(name, value);
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        let number = |text: &str| value::<u32>(&RawValue::from_string(text.to_owned()).expect("JSON")).ok();
        assert_eq!([number("10"), number("10.0"), number("1e1")], [Some(10); 3]);
        assert_eq!([number("10.5"), number("-1.0"), number("1e300"), number("\"10\"")], [None; 4]);
        let deep = to_raw_value(&serde_json::json!({"a": [2.0]})).expect("JSON");
        assert_eq!(value::<BTreeMap<String, Vec<i8>>>(&deep).ok(), Some(BTreeMap::from([("a".to_owned(), vec![2])])));
    }
}
