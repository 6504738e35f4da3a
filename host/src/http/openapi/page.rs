//! The document as a page. It is made here and not in a browser: nothing of it runs, and nothing is fetched.

use axum::http::HeaderValue;
use base64::{Engine, engine::general_purpose::STANDARD};
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, value::Serde};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The page's one style sheet, and nothing else.
pub(super) fn policy() -> HeaderValue {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Base64 between quotes is what a header takes; without a policy the page would only lose its style.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

pub(super) fn page(document: &Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.add_template("page", TEMPLATE)?;
    let groups: Vec<_> = list(&document["tags"]).map(|tag| group(document, tag)).collect();
    let schemas = members(&document["components"]["schemas"]);
    let shown = json!({
        "style": STYLE,
        "info": document["info"],
        "schemes": document["components"]["securitySchemes"],
        "groups": groups,
        "schemas": schemas.map(|(name, schema)| json!({ "name": name, "text": pretty(schema) })).collect::<Vec<_>>(),
    });
    environment.get_template("page")?.render(minijinja::Value::from(Serde(&shown)))
}

fn group(document: &Value, tag: &Value) -> Value {
    let mut operations = Vec::new();
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in METHODS.iter().filter_map(|method| Some((*method, item.get(method)?))) {
            if list(&operation["tags"]).any(|name| *name == tag["name"]) {
                operations.push(shown(method, path, operation));
            }
        }
    }
    json!({ "name": tag["name"], "about": tag["description"], "operations": operations })
}

fn shown(method: &str, path: &str, operation: &Value) -> Value {
    let parameter = |parameter: &Value| {
        json!({
            "name": parameter["name"], "in": parameter["in"], "required": parameter["required"],
            "about": parameter["description"], "schema": kind(&parameter["schema"]),
        })
    };
    let answer = |(status, answer): (&String, &Value)| {
        let content: Vec<_> = members(&answer["content"]).map(|(media, content)| content_of(media, content)).collect();
        json!({ "status": status, "about": answer["description"], "content": content })
    };
    let body: Vec<_> =
        members(&operation["requestBody"]["content"]).map(|(media, content)| content_of(media, content)).collect();
    json!({
        "method": method.to_uppercase(),
        "path": path,
        "id": operation["operationId"],
        "summary": operation["summary"],
        "about": operation["description"],
        "open": list(&operation["security"]).next().is_none(),
        "parameters": list(&operation["parameters"]).map(parameter).collect::<Vec<_>>(),
        "body": body,
        "answers": members(&operation["responses"]).map(answer).collect::<Vec<_>>(),
    })
}

fn content_of(media: &str, content: &Value) -> Value {
    let is_problem = media == "application/problem+json";
    // Of refusals their names say enough.
    let examples = members(&content["examples"]).filter(|_| !is_problem);
    json!({
        "media": media,
        "schema": kind(&content["schema"]),
        "name": name(&content["schema"]),
        "examples": examples.map(|(name, example)| json!({ "name": name, "text": pretty(&example["value"]) })).collect::<Vec<_>>(),
    })
}

/// The name of a schema that stands below, or nothing.
fn name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

/// A schema on one line.
fn kind(schema: &Value) -> String {
    name(schema).map_or_else(|| schema.to_string(), str::to_owned)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
