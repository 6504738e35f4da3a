use std::{collections::HashMap, ptr};

use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

/// Longest schema, in bytes of its text.
pub const MAX_SCHEMA: usize = 64 * 1024;
/// Most bytes of one compiled pattern. A match takes time in proportion to it, too.
const MAX_PATTERN: usize = 256 << 10;
/// Of all patterns of a plugin together, whichever of its schemas they stand in: each node keeps them.
const MAX_PATTERNS: usize = 4 << 20;
/// Most parts, where each reference counts as all that it leads to: so many does a validator visit. Doubling by reference
/// reaches any number within a few lines.
const MAX_PARTS: usize = 10_000;
/// Levels of nesting, references followed: a validator goes down as deep on its stack.
const MAX_DEPTH: usize = 64;
/// The same of a schema that refers to itself, and so is gone through once for each level of a payload.
const MAX_DEPTH_RECURSIVE: usize = 32;

/// What each pattern of a plugin with these schemas may have, in bytes, when it is compiled: an equal share.
pub fn share<'a>(schemas: impl Iterator<Item = &'a str>) -> usize {
    // What is too long, or no JSON, is refused for that.
    let small = schemas.filter(|text| text.len() <= MAX_SCHEMA);
    let read = small.filter_map(|text| serde_json::from_str::<Value>(text).ok());
    share_of(read.map(|schema| patterns(&schema)).sum())
}

fn share_of(count: usize) -> usize {
    MAX_PATTERN.min(MAX_PATTERNS / count.max(1))
}

/// Reads a schema that somebody offers. `most`: of each of its patterns, in bytes ([`share`]).
pub fn parse(text: &str, most: usize) -> Result<Value, String> {
    if text.len() > MAX_SCHEMA {
        return Err(format!("has {} bytes, at most {MAX_SCHEMA} are allowed", text.len()));
    }
    let schema: Value = serde_json::from_str(text).map_err(|e| format!("is not JSON: {e}"))?;
    measure(&schema)?;
    compile(&schema, most)?;
    Ok(schema)
}

/// Compiles a schema of a plugin that was taken. By itself, its patterns may have no less than they had beside the others.
pub fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    compile(schema, share_of(patterns(schema)))
}

/// JSON Schema 2020-12, local references only, regular expressions that run in linear time.
fn compile(schema: &Value, most: usize) -> Result<jsonschema::Validator, String> {
    if let Some(reference) = foreign_reference(schema) {
        return Err(format!("\"$ref\": \"{reference}\" leaves the schema; only local references (#…) are allowed"));
    }
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(most).dfa_size_limit(most))
        .build(schema)
        .map_err(|e| match e.kind() {
            // All that the library says of a pattern.
            ValidationErrorKind::Format { format } if format == "regex" => format!(
                "is no JSON Schema: {e}: a pattern has no look-around and no back-references, and is small when compiled: \
                 {most} bytes here, of the {MAX_PATTERNS} for all patterns of a plugin (for lengths, take minLength and \
                 maxLength)"
            ),
            _ => format!("is no JSON Schema: {e}"),
        })
}

/// Before the library looks: it must never be asked to resolve anything from elsewhere.
fn foreign_reference(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(map) => map.iter().find_map(|(key, value)| match value {
            Value::String(target) if (key == "$ref" || key == "$dynamicRef") && !target.starts_with('#') => {
                Some(target.as_str())
            }
            other => foreign_reference(other),
        }),
        Value::Array(items) => items.iter().find_map(foreign_reference),
        _ => None,
    }
}

/// How many patterns there are, or a few more: what stands in an example counts too.
fn patterns(schema: &Value) -> usize {
    match schema {
        Value::Object(map) => {
            let own = usize::from(map.get("pattern").is_some_and(Value::is_string));
            let named = map.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
            own + named + map.values().map(patterns).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(patterns).sum(),
        _ => 0,
    }
}

/// Refuses what is small to write and much to check.
fn measure(schema: &Value) -> Result<(), String> {
    let mut scale = Scale { root: schema, anchors: HashMap::new(), known: HashMap::new(), recursive: false };
    scale.name(schema, true)?;
    let all = scale.weigh(schema, 0)?;
    if scale.recursive && all.depth > MAX_DEPTH_RECURSIVE {
        return Err(format!(
            "refers to itself and is nested deeper than {MAX_DEPTH_RECURSIVE} levels, references followed"
        ));
    }
    Ok(())
}

struct Scale<'a> {
    root: &'a Value,
    anchors: HashMap<&'a str, &'a Value>,
    /// By their place in memory; `None`: under way, so whoever comes there again has gone in a circle.
    known: HashMap<*const Value, Option<Weight>>,
    recursive: bool,
}

#[derive(Clone, Copy, Default)]
struct Weight {
    parts: usize,
    /// Levels below it.
    depth: usize,
}

impl<'a> Scale<'a> {
    /// Notes what references can name, and refuses what would make them mean something else.
    fn name(&mut self, value: &'a Value, is_root: bool) -> Result<(), String> {
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    match (key.as_str(), inner) {
                        ("$anchor" | "$dynamicAnchor", Value::String(name)) => {
                            self.anchors.insert(name, value);
                        }
                        ("$id" | "$schema", Value::String(_)) if !is_root => {
                            return Err(format!("has \"{key}\" in one of its parts; it can stand at the top only"));
                        }
                        _ => self.name(inner, false)?,
                    }
                }
                Ok(())
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.name(item, false)),
            _ => Ok(()),
        }
    }

    fn target(&self, reference: &str) -> Option<&'a Value> {
        let fragment = decoded(reference.strip_prefix('#')?);
        match fragment.as_str() {
            "" => Some(self.root),
            pointer if pointer.starts_with('/') => self.root.pointer(pointer),
            anchor => self.anchors.get(anchor).copied(),
        }
    }

    fn weigh(&mut self, value: &'a Value, level: usize) -> Result<Weight, String> {
        let place = ptr::from_ref(value);
        let known = self.known.get(&place).copied();
        if matches!(known, Some(None)) {
            self.recursive = true;
            return Ok(Weight::default());
        }
        let known = known.flatten();
        if level + known.map_or(0, |weight| weight.depth) > MAX_DEPTH {
            return Err(format!("is nested deeper than {MAX_DEPTH} levels, references followed"));
        }
        if let Some(weight) = known {
            return Ok(weight);
        }
        let mut all = Weight { parts: 1, depth: 0 };
        match value {
            Value::String(text) => return plain(text).map(|()| Weight::default()),
            Value::Array(items) => {
                self.known.insert(place, None);
                for item in items {
                    all.add(self.weigh(item, level + 1)?);
                }
            }
            Value::Object(map) => {
                self.known.insert(place, None);
                for (key, inner) in map {
                    plain(key)?;
                    all.add(self.weigh(inner, level + 1)?);
                    let reference = inner.as_str().filter(|_| REFERENCES.contains(&key.as_str()));
                    if let Some(target) = reference.and_then(|reference| self.target(reference)) {
                        all.add(self.weigh(target, level + 1)?);
                    }
                }
            }
            _ => return Ok(Weight::default()),
        }
        if all.parts > MAX_PARTS {
            return Err(format!("has more than {MAX_PARTS} parts, each reference counted with all that it leads to"));
        }
        self.known.insert(place, Some(all));
        Ok(all)
    }
}

const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

impl Weight {
    fn add(&mut self, inner: Self) {
        self.parts = self.parts.saturating_add(inner.parts);
        self.depth = self.depth.max(inner.depth + 1);
    }
}

/// The manifest is kept in Postgres, which has no such character.
fn plain(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("holds the character \\u0000".to_owned()) } else { Ok(()) }
}

/// The fragment of a URI as text (RFC 3986, section 2.1).
fn decoded(fragment: &str) -> String {
    let mut parts = fragment.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| hex::decode(digits).ok()) {
            Some(byte) => {
                bytes.extend(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => {
                bytes.push(b'%');
                bytes.extend(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The only schema of its plugin.
    fn parse(text: &str) -> Result<Value, String> {
        super::parse(text, share([text].into_iter()))
    }

    fn refusal(schema: &Value) -> String {
        parse(&schema.to_string()).expect_err("refused")
    }

    /// `$defs` in a chain, each made of the one after it.
    fn chain(length: usize, link: impl Fn(&str) -> Value) -> Value {
        let mut defs: Map<String, Value> =
            (0..length).map(|n| (format!("d{n}"), link(&format!("#/$defs/d{}", n + 1)))).collect();
        defs.insert(format!("d{length}"), json!({"type": "string"}));
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    }

    #[test]
    fn what_is_small_to_write_and_much_to_check_is_refused() {
        let doubled = |next: &str| json!({"allOf": [{"$ref": next}, {"$ref": next}]});
        assert!(refusal(&chain(16, doubled)).contains("10000 parts"));
        assert!(parse(&chain(8, doubled).to_string()).is_ok());
        let single = |next: &str| json!({"$ref": next});
        assert!(refusal(&chain(500, single)).contains("deeper than 64 levels"));
        assert!(parse(&chain(20, single).to_string()).is_ok());
        let mut deep = json!({"$ref": "#"});
        for _ in 0..20 {
            deep = json!({"properties": {"a": deep}});
        }
        assert!(refusal(&deep).contains("refers to itself"), "{}", refusal(&deep));
    }

    #[test]
    fn what_people_write_passes() {
        let tree = json!({
            "$id": "https://example.com/tree", "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": "#/$defs/a%20node",
            "$defs": {"a node": {"type": "object", "properties": {
                "name": {"type": "string", "pattern": "^[A-Za-z0-9_ -]{1,128}$"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/a%20node"}},
            }}},
        });
        let validator = validator(&parse(&tree.to_string()).expect("a schema")).expect("a schema");
        assert!(validator.is_valid(&json!({"name": "a", "children": [{"name": "b"}]})));
        assert!(!validator.is_valid(&json!({"name": "a", "children": [{"name": "?"}]})));
        let anchored = json!({"$ref": "#a", "$defs": {"x": {"$anchor": "a", "items": {"$ref": "#a"}}}});
        assert!(parse(&anchored.to_string()).is_ok());
        let many: Map<String, Value> =
            (0..60).map(|n| (format!("p{n}"), json!({"type": "string", "pattern": "^[a-z]+(-[a-z0-9]+)*$"}))).collect();
        assert!(parse(&json!({"properties": many}).to_string()).is_ok());
    }

    #[test]
    fn references_mean_what_they_say_and_text_can_be_kept() {
        let inner = json!({"properties": {"a": {"$id": "https://example.com/", "type": "string"}}});
        assert!(refusal(&inner).contains("\"$id\""));
        assert!(refusal(&json!({"const": "a\0"})).contains("u0000"));
        assert!(refusal(&json!({"properties": {"a\0": {}}})).contains("u0000"));
        assert!(
            parse(&json!({"properties": {"$id": {"type": "string"}}}).to_string()).is_ok(),
            "a property of that name"
        );
    }

    #[test]
    fn all_patterns_together_are_bounded() {
        let some = |count: usize, pattern: &str| {
            let each: Map<String, Value> =
                (0..count).map(|n| (format!("p{n}"), json!({"pattern": format!("{pattern}{n}")}))).collect();
            parse(&json!({"properties": each}).to_string())
        };
        // One of these has some 100 KiB.
        assert!(some(1, "^(a[b-d]|e){1,300}x").is_ok());
        let refused = some(600, "^(a[b-d]|e){1,300}x").err().unwrap_or_default();
        assert!(refused.contains("small when compiled"), "{refused}");
        assert!(some(1, "(a{1000}){1000}").is_err());
    }
}
