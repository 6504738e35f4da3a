//! What goes in and out. What is serialised as it is, is derived from its type; what handlers read and write by hand is written
//! down beside it. A test validates answers of a real host against both.

mod access;
pub(super) mod bodies;
mod pages;

use serde_json::{Map, Value, json};
use utoipa::{ToSchema, openapi::ComponentsBuilder};

use crate::{
    alerts::Raised,
    audit::Entry,
    http::{
        health::{Part, Status},
        jobs::Job,
    },
    journal::{pauses::Pause, store::Seen},
    operate::Bulk,
    queue::store::{DeadFilter, Limit},
    ratelimit::Shown,
    releases::store::{Past, Used},
    webhooks::{Delivery, Endpoint},
};

/// Those of types that are serialised as they are, and what they refer to.
pub(super) fn derived(mut components: ComponentsBuilder) -> ComponentsBuilder {
    fn add<T: ToSchema>(components: ComponentsBuilder) -> ComponentsBuilder {
        let mut within = Vec::new();
        T::schemas(&mut within);
        components.schemas_from_iter(within).schema_from::<T>()
    }
    for one in [
        add::<Job>,
        add::<Bulk>,
        add::<DeadFilter>,
        add::<Seen>,
        add::<Pause>,
        add::<Limit>,
        add::<Shown>,
        add::<Past>,
        add::<Used>,
        add::<Entry>,
        add::<Raised>,
        add::<Delivery>,
        add::<Endpoint>,
        add::<Part>,
        add::<Status>,
    ] {
        components = one(components);
    }
    components
}

/// Those that are written down.
pub(super) fn written() -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("Problem".to_owned(), problem());
    // A document that describes documents would be longer than all the rest.
    all.insert(
        "OpenApi".to_owned(),
        json!({ "type": "object", "required": ["openapi", "info", "paths"], "additionalProperties": true }),
    );
    all.extend(access::all());
    all.extend(bodies::all());
    all.extend(pages::all());
    all
}

/// RFC 9457.
fn problem() -> Value {
    object(
        &["type", "title", "status", "detail"],
        json!({
            "type": { "type": "string", "pattern": "^urn:usher:problem:[a-z0-9-]+$", "description": "Stable; programs read this." },
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "For people." },
            "instance": { "type": "string", "description": "The path that was asked." },
            "errors": {
                "type": "array",
                "description": "Each finding with its place: a JSON pointer into the body, or into the payload.",
                "items": { "$ref": "#/components/schemas/Finding" },
            },
        }),
    )
}

/// Further members may come.
fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// What is sent: nobody guesses what an unknown field was to mean. One that need not be there may be `null`.
fn closed(required: &[&str], properties: Value) -> Value {
    let mut schema = object(required, properties);
    for (name, field) in schema["properties"].as_object_mut().into_iter().flatten() {
        if !required.contains(&name.as_str()) {
            or_null(field);
        }
    }
    schema["additionalProperties"] = false.into();
    schema
}

/// `null` is as if it were left out.
fn or_null(field: &mut Value) {
    if field.get("$ref").is_some() {
        *field = json!({ "anyOf": [field.take(), { "type": "null" }] });
        return;
    }
    if let Some(kind) = field["type"].as_str().map(str::to_owned) {
        field["type"] = json!([kind, "null"]);
    }
    if let Some(words) = field.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
