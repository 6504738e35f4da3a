//! The OpenAPI document, as far as our own list needs it.

use serde_json::Value;

use crate::rig::Rig;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub struct Document {
    text: Value,
    pub operations: Vec<Operation>,
}

#[derive(Clone, Debug)]
pub struct Operation {
    /// In capitals.
    pub method: String,
    pub path: String,
    /// Names of its query's parameters.
    pub query: Vec<String>,
    /// Names of the members that its body may have; `None`: it has no JSON body.
    pub body: Option<Vec<String>>,
    /// A body that the document gives for one that is read.
    pub example: Option<String>,
}

impl Operation {
    /// As the tables name it.
    pub fn label(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// An answer of it does not end.
    pub fn is_stream(&self) -> bool {
        self.method == "GET" && self.path.ends_with("/events")
    }
}

impl Document {
    pub async fn fetch(rig: &Rig) -> Self {
        let answer = rig.admin.get("/openapi.json").await;
        assert!(answer.status.is_success(), "/openapi.json: {} {}", answer.status, answer.body);
        let mut document = Self { text: answer.body, operations: Vec::new() };
        let paths = document.text["paths"].as_object().unwrap();
        let mut operations = Vec::new();
        for (path, item) in paths {
            for method in METHODS {
                if item[method].is_object() {
                    operations.push(document.operation(path, method, item));
                }
            }
        }
        document.operations = operations;
        document
    }

    fn operation(&self, path: &str, method: &str, item: &Value) -> Operation {
        let parameters = [&item["parameters"], &item[method]["parameters"]];
        let parameters = parameters.into_iter().flat_map(|all| all.as_array().into_iter().flatten());
        let query = parameters
            .map(|parameter| self.resolved(parameter))
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
            .collect();
        let body = self.resolved(&item[method]["requestBody"]);
        let content = &body["content"]["application/json"];
        let examples = content["examples"].as_object().into_iter().flatten();
        let example = examples.map(|(_, example)| example["value"].to_string()).next();
        let schema = &content["schema"];
        let body = (!schema.is_null()).then(|| {
            let mut names = Vec::new();
            self.members(schema, 0, &mut names);
            names.sort_unstable();
            names.dedup();
            names
        });
        Operation { method: method.to_uppercase(), path: path.to_owned(), query, body, example }
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let place = value["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
        place.and_then(|place| self.text.pointer(place)).unwrap_or(value)
    }

    /// Of the object itself, whatever it is put together of.
    fn members(&self, schema: &Value, depth: u32, names: &mut Vec<String>) {
        if depth > 5 {
            return;
        }
        let schema = self.resolved(schema);
        names.extend(schema["properties"].as_object().into_iter().flat_map(|all| all.keys().cloned()));
        for part in ["oneOf", "anyOf", "allOf"] {
            for one in schema[part].as_array().into_iter().flatten() {
                self.members(one, depth + 1, names);
            }
        }
    }
}
