//! The job types of the moment: what a submit may hold, so that whoever reads the document can send one that is taken.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::schemas::bodies;
use crate::{ids::Digest, submit::CatalogEntry};

/// Where a keyword holds schemas by names of somebody's own.
const MAPS: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Where it holds values, and no schemas.
const VALUES: [&str; 5] = ["const", "enum", "default", "examples", "example"];

/// What the catalog holds at a moment.
pub(super) type Entries = BTreeMap<String, Arc<CatalogEntry>>;

/// Those that take submits.
pub(super) struct Live(Vec<Arc<CatalogEntry>>);

/// Which they are, to see whether anything has changed.
#[derive(PartialEq, Eq)]
pub(super) struct Stand(Vec<(String, Schema)>);

#[derive(PartialEq, Eq)]
enum Schema {
    /// A release's bytes never change.
    Of(Digest),
    Text(String),
}

impl Live {
    pub fn of(all: &Entries) -> Self {
        Self(all.values().filter(|entry| !entry.retiring && !entry.dropped).cloned().collect())
    }

    pub fn stand(&self) -> Stand {
        let schema = |entry: &CatalogEntry| match entry.digest {
            Some(digest) => Schema::Of(digest),
            None => Schema::Text(entry.job_type.schema.to_string()),
        };
        Stand(self.0.iter().map(|entry| (entry.job_type.job_type.clone(), schema(entry))).collect())
    }

    /// The document with their payloads, and submits that are one of theirs.
    pub fn added_to(&self, document: &Value) -> Value {
        let types = self.0.iter().map(|entry| (entry.job_type.job_type.as_str(), &entry.job_type.schema));
        added(document, &types.collect::<Vec<_>>())
    }
}

fn added(document: &Value, types: &[(&str, &Value)]) -> Value {
    let mut document = document.clone();
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return document;
    };
    // A choice between nothing takes nothing; without any type every submit is refused anyway, and says so.
    if types.is_empty() {
        return document;
    }
    let names: BTreeMap<&str, String> = types.iter().map(|(job_type, _)| (*job_type, component(job_type))).collect();
    for (job_type, schema) in types {
        let Some(name) = names.get(job_type) else { continue };
        schemas.insert(format!("Payload.{name}"), moved(schema, &format!("#/components/schemas/Payload.{name}")));
    }
    for (kind, further) in [("Submit", None), ("BatchItem", Some(("idempotencyKey", bodies::idempotency_key())))] {
        let mut choices = Vec::new();
        let mut mapping = Map::new();
        for (job_type, name) in &names {
            let mut fields = bodies::job_fields();
            fields["type"] = json!({ "type": "string", "const": job_type });
            fields["payload"] = json!({ "$ref": format!("#/components/schemas/Payload.{name}") });
            if let Some((field, schema)) = &further {
                fields[*field] = schema.clone();
            }
            let place = format!("#/components/schemas/{kind}.{name}");
            mapping.insert((*job_type).to_owned(), place.clone().into());
            choices.push(json!({ "$ref": place }));
            schemas.insert(format!("{kind}.{name}"), bodies::job(fields));
        }
        let choice = json!({ "oneOf": choices, "discriminator": { "propertyName": "type", "mapping": mapping } });
        schemas.insert(kind.to_owned(), choice);
    }
    document
}

/// The names of components are made of few characters (OpenAPI 3.1, 4.8.7); a job type's are, but for those of a plugin that was
/// taken by an earlier version.
fn component(job_type: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if job_type.chars().all(plain) { job_type.to_owned() } else { hex::encode(job_type) }
}

/// A schema that was a document of its own, as a part of another one: what referred to its root refers to `place`. Names that
/// held within it (`$anchor`, `$id`) would hold for the whole of the other, so they go, and what used them says the way instead.
fn moved(schema: &Value, place: &str) -> Value {
    let mut anchors = BTreeMap::new();
    note(schema, place, &mut anchors);
    let mut schema = schema.clone();
    rewrite(&mut schema, place, &anchors);
    schema
}

fn note(schema: &Value, at: &str, anchors: &mut BTreeMap<String, String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("$anchor" | "$dynamicAnchor", Value::String(name)) => {
                        anchors.insert(name.clone(), at.to_owned());
                    }
                    (key, _) if VALUES.contains(&key) => {}
                    (key, Value::Object(named)) if MAPS.contains(&key) => {
                        for (name, inner) in named {
                            note(inner, &format!("{at}/{}/{}", escaped(key), escaped(name)), anchors);
                        }
                    }
                    (key, value) => note(value, &format!("{at}/{}", escaped(key)), anchors),
                }
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                note(item, &format!("{at}/{n}"), anchors);
            }
        }
        _ => {}
    }
}

fn rewrite(schema: &mut Value, place: &str, anchors: &BTreeMap<String, String>) {
    match schema {
        Value::Object(map) => {
            // Within one document that nothing extends, a dynamic reference is a plain one.
            if let Some(dynamic) = map.remove("$dynamicRef") {
                map.entry("$ref").or_insert(dynamic);
            }
            for key in ["$anchor", "$dynamicAnchor", "$id", "$schema"] {
                if map.get(key).is_some_and(Value::is_string) {
                    map.remove(key);
                }
            }
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(target) if key == "$ref" => *target = led(target, place, anchors),
                    _ if VALUES.contains(&key.as_str()) => {}
                    Value::Object(named) if MAPS.contains(&key.as_str()) => {
                        named.values_mut().for_each(|inner| rewrite(inner, place, anchors));
                    }
                    value => rewrite(value, place, anchors),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, place, anchors)),
        _ => {}
    }
}

fn led(target: &str, place: &str, anchors: &BTreeMap<String, String>) -> String {
    match target.strip_prefix('#') {
        Some("") => place.to_owned(),
        Some(pointer) if pointer.starts_with('/') => format!("{place}{pointer}"),
        Some(name) => anchors.get(name).cloned().unwrap_or_else(|| target.to_owned()),
        None => target.to_owned(),
    }
}

/// A step of a JSON pointer in a fragment (RFC 6901, 3 and 6).
fn escaped(step: &str) -> String {
    let mut text = String::new();
    for byte in step.replace('~', "~0").replace('/', "~1").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'$' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_a_payload_lead_where_they_did() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.com/x",
            "properties": {
                "a": { "$ref": "#/$defs/id" },
                "b": { "$ref": "#tree" },
                "c": { "$ref": "#" },
                "d": { "const": { "$ref": "#/$defs/id" } },
                "$ref": { "type": "string" },
                "default": { "$ref": "#/$defs/id" },
            },
            "$defs": { "id": { "type": "string" }, "a tree": { "$dynamicAnchor": "tree", "items": { "$dynamicRef": "#tree" } } },
        });
        let place = "#/components/schemas/Payload.x";
        let schema = moved(&schema, place);
        let of = |pointer: &str| schema.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        assert_eq!(of("/properties/a/$ref"), format!("{place}/$defs/id"));
        assert_eq!(of("/properties/default/$ref"), format!("{place}/$defs/id"), "a property of that name");
        assert_eq!(of("/properties/b/$ref"), format!("{place}/$defs/a%20tree"));
        assert_eq!(of("/properties/c/$ref"), place);
        assert_eq!(of("/properties/d/const/$ref"), "#/$defs/id", "a value, no schema");
        assert_eq!(of("/$defs/a tree/items/$ref"), format!("{place}/$defs/a%20tree"));
        assert_eq!(schema["properties"]["$ref"], json!({ "type": "string" }));
        assert!(schema.get("$id").is_none() && schema["$defs"]["a tree"].get("$dynamicAnchor").is_none());
    }

    #[test]
    fn a_submit_is_one_of_the_live_types() {
        let (one, other) = (json!({ "type": "object", "required": ["x"] }), json!(true));
        let document = added(crate::http::openapi::document(), &[("one", &one), ("two", &other)]);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Submit"]["oneOf"].as_array().map(Vec::len), Some(2));
        assert_eq!(schemas["Submit.one"]["properties"]["type"]["const"], "one");
        assert_eq!(schemas["Submit.one"]["properties"]["payload"]["$ref"], "#/components/schemas/Payload.one");
        assert!(schemas["BatchItem.two"]["properties"]["idempotencyKey"].is_object());
        assert_eq!(schemas["Payload.two"], true);
        assert!(
            added(crate::http::openapi::document(), &[])["components"]["schemas"]["Submit"]["properties"].is_object()
        );
        let validator = jsonschema::validator_for(
            &json!({ "$ref": "#/components/schemas/Submit", "components": document["components"] }),
        );
        let validator = validator.expect("a schema");
        assert!(validator.is_valid(&json!({ "type": "one", "payload": { "x": 1 } })));
        assert!(!validator.is_valid(&json!({ "type": "one", "payload": {} })));
        assert!(!validator.is_valid(&json!({ "type": "three", "payload": {} })));
    }
}
