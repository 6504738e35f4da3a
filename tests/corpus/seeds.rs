//! Honest plugins, taken apart as far as mutations want.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    component,
    hostile::{
        SECTION,
        bytes::{custom, read_leb, sections},
    },
};

/// Components, and a payload for one job of each. The last one is large, and mutated rarely.
const SEEDS: [(&str, &str); 7] = [
    ("analytics.wasm", r#"{"event": "x"}"#),
    ("payments.wasm", "{}"),
    ("notifications.wasm", "{}"),
    ("guest-effects.wasm", r#"{"do": "ok"}"#),
    ("guest-webhook.wasm", r#"{"do": "ok"}"#),
    ("order-rust.wasm", r#"{"orderId": "o", "email": "a@example.com", "items": []}"#),
    ("order-ts.wasm", r#"{"orderId": "o", "email": "a@example.com", "items": []}"#),
];

pub struct Seed {
    pub name: &'static str,
    pub payload: Value,
    /// Without the section of the manifest.
    bare: Vec<u8>,
    pub manifest: String,
    /// What the manifest names.
    pub files: Value,
}

pub fn all() -> Vec<Seed> {
    SEEDS.into_iter().map(|(name, payload)| Seed::read(name, payload)).collect()
}

impl Seed {
    fn read(name: &'static str, payload: &str) -> Self {
        let bytes = fs::read(component(name)).unwrap();
        let manifest_at = sections(&bytes).into_iter().find_map(|(id, range)| {
            let (_, content) = read_leb(&bytes, range.start + 1)?;
            let data =
                bytes[content..range.end].strip_prefix(&[SECTION.len() as u8])?.strip_prefix(SECTION.as_bytes())?;
            (id == 0).then(|| (range, serde_json::from_slice::<Value>(data).unwrap()))
        });
        let (range, embedded) = manifest_at.unwrap_or_else(|| panic!("{name} has no manifest"));
        let manifest = embedded["manifest"].as_str().unwrap().to_owned();
        let bare = [&bytes[..range.start], &bytes[range.end..]].concat();
        Self { name, payload: serde_json::from_str(payload).unwrap(), bare, manifest, files: embedded["files"].clone() }
    }

    /// The value of the first key of that name.
    fn value(&self, key: &str) -> &str {
        let start = format!("{key} = \"");
        let line = self.manifest.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|rest| rest.split('"').next()).unwrap()
    }

    pub fn job_type(&self) -> &str {
        self.value("type")
    }

    /// That grants all it asks for.
    pub fn policy(&self) -> String {
        let grants = self.manifest.split("\n[grants]\n").nth(1).unwrap_or_default();
        let grants: Vec<_> = grants.lines().take_while(|line| !line.starts_with('[')).collect();
        format!("[plugins.policy.{}]\n{}\n", self.value("name"), grants.join("\n"))
    }

    /// The manifest of a version that nobody has published.
    pub fn manifest_of(&self, version: u64) -> String {
        let line = |line: &str| {
            if line.starts_with("version = ") { format!("version = \"9.{version}.0\"\n") } else { format!("{line}\n") }
        };
        self.manifest.lines().map(line).collect()
    }

    pub fn packed(&self, manifest: &str, files: &Value) -> Vec<u8> {
        let data = json!({"manifest": manifest, "files": files}).to_string();
        [self.bare.as_slice(), &custom(SECTION, data.as_bytes())].concat()
    }
}
