//! What the API says of itself: every example works, every answer is as its schema says, the job types are those of the moment,
//! and the page fetches nothing.

mod examples;
mod served;

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Host};

/// The document as a host serves it.
pub struct Document(pub Value);

/// One operation of it.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: Method,
    pub path: String,
    pub id: String,
    pub told: Value,
}

impl Document {
    pub async fn of(host: &Host) -> Self {
        let answer = host.client().get("/openapi.json").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json");
        Self(answer.body)
    }

    pub fn operations(&self) -> Vec<Operation> {
        let mut all = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (method, told) in item.as_object().unwrap() {
                all.push(Operation {
                    method: method.to_uppercase().parse().unwrap(),
                    path: path.clone(),
                    id: told["operationId"].as_str().unwrap().to_owned(),
                    told: told.clone(),
                });
            }
        }
        all
    }

    pub fn validator(&self, schema: &Value) -> jsonschema::Validator {
        let mut whole = schema.clone();
        whole["components"] = self.0["components"].clone();
        jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{schema}: {error}"))
    }

    /// Its status is one that the operation tells of, and its body one of that schema; a problem is one of those that are named.
    pub fn judge(&self, operation: &Operation, answer: &Answer) {
        let at = format!("{}: {}: {}", operation.id, answer.status, answer.body);
        let told = &operation.told["responses"][answer.status.as_str()];
        assert!(told.is_object(), "the document does not know this status: {at}");
        let media = answer.headers.get("content-type").map(|value| value.to_str().unwrap().split(';').next().unwrap());
        let Some(media) = media else {
            assert!(told.get("content").is_none(), "a body is missing: {at}");
            return;
        };
        let content = &told["content"][media];
        assert!(content.is_object(), "the document does not know {media}: {at}");
        let found: Vec<_> =
            self.validator(&content["schema"]).iter_errors(&answer.body).map(|error| error.to_string()).collect();
        assert!(found.is_empty(), "{found:?}: {at}");
        if media == "application/problem+json" {
            let slug = answer.body["type"].as_str().unwrap().strip_prefix("urn:usher:problem:").unwrap();
            assert!(content["examples"].get(slug).is_some(), "the document does not name {slug}: {at}");
        }
    }
}

impl Operation {
    /// Its path; `given` in place of the examples of its parameters.
    pub fn path(&self, given: &BTreeMap<&str, String>) -> String {
        let mut path = self.path.clone();
        for parameter in self.told["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "path") {
            let name = parameter["name"].as_str().unwrap();
            let example = match &parameter["example"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            path = path.replace(&format!("{{{name}}}"), given.get(name).unwrap_or(&example));
        }
        path
    }

    /// Examples of its body, by name; one that is `None` where it has no body.
    pub fn bodies(&self) -> Vec<(String, Option<Value>)> {
        let examples = self.told["requestBody"]["content"]["application/json"]["examples"].as_object();
        let examples = examples.into_iter().flatten();
        let mut all: Vec<_> = examples.map(|(name, example)| (name.clone(), Some(example["value"].clone()))).collect();
        if all.is_empty() || self.told["requestBody"]["required"] == json!(false) {
            all.push(("no body".to_owned(), None));
        }
        all
    }
}
