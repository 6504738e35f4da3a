use std::collections::BTreeSet;

use serde_json::Value;

use super::{document, page};

fn operations() -> Vec<(&'static String, &'static String, &'static Value)> {
    let paths = document()["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| item.as_object().expect("an item").iter().map(move |(method, op)| (path, method, op)))
        .collect()
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn look(value: &Value, seen: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    seen.insert(target.clone());
                }
                map.values().for_each(|inner| look(inner, seen));
            }
            Value::Array(items) => items.iter().for_each(|item| look(item, seen)),
            _ => {}
        }
    }
    let mut seen = BTreeSet::new();
    look(document(), &mut seen);
    for target in &seen {
        let pointer = target.strip_prefix('#').expect("local");
        assert!(document().pointer(pointer).is_some(), "{target}");
    }
    let schemas = document()["components"]["schemas"].as_object().expect("schemas");
    for name in schemas.keys() {
        assert!(seen.contains(&format!("#/components/schemas/{name}")), "nothing uses {name}");
    }
}

#[test]
fn each_operation_says_what_a_reader_needs() {
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations() {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{at}: its id is there twice");
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{at}");
        let tag = operation["tags"][0].as_str().expect("a tag");
        let tags = document()["tags"].as_array().expect("tags");
        assert!(tags.iter().any(|known| known["name"] == tag), "{at}: {tag}");
        let answers = operation["responses"].as_object().expect("answers");
        assert!(answers.keys().any(|status| status.starts_with('2')), "{at} never succeeds");
        for (status, answer) in answers {
            let problems = answer["content"].get("application/problem+json");
            for (slug, example) in problems.and_then(|p| p["examples"].as_object()).into_iter().flatten() {
                assert_eq!(example["value"]["status"].to_string(), *status, "{at}");
                assert_eq!(example["value"]["type"], format!("urn:usher:problem:{slug}"), "{at}");
            }
        }
        // A path's parameters are those that it names.
        let named: BTreeSet<_> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let told: BTreeSet<_> = parameters.filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str()).collect();
        assert_eq!(named, told, "{at}");
    }
}

#[test]
fn examples_of_bodies_are_ones_of_their_schema() {
    for (path, method, operation) in operations() {
        let content = &operation["requestBody"]["content"]["application/json"];
        let Some(examples) = content["examples"].as_object() else { continue };
        let schema = serde_json::json!({ "$ref": content["schema"]["$ref"], "components": document()["components"] });
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        for (name, example) in examples {
            let found: Vec<_> = validator.iter_errors(&example["value"]).map(|error| error.to_string()).collect();
            assert!(found.is_empty(), "{method} {path}, {name}: {found:?}");
        }
    }
}

#[test]
fn the_page_shows_every_operation_and_fetches_nothing() {
    let page = page::page(document()).expect("a page");
    for (path, _, operation) in operations() {
        assert!(page.contains(&format!("id=\"{}\"", operation["operationId"].as_str().expect("an id"))), "{path}");
    }
    for never in ["<script", "src=", "http://", "@import", "url("] {
        assert!(!page.contains(never), "{never}");
    }
    assert!(page::policy().to_str().expect("text").starts_with("default-src 'none'; style-src 'sha256-"));
}
