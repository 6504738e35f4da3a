//! Components and manifests that no honest toolchain makes. The tests publish them one by one; `corpus` publishes them all, and
//! mutations of honest ones.

pub mod bytes;
mod list;

use std::fs;

use serde_json::json;

pub use self::list::{Hostile, bombs, newer_function, walls, wrong_sort};
use super::component;

/// Name of the section that carries the manifest.
pub const SECTION: &str = "usher:plugin";

/// Small to ship, hard to compile: live locals and branches, each with each.
pub fn bomb(n: usize) -> Vec<u8> {
    let mut wat = format!(
        "(component (core module (memory 1) (func (export \"f\") (param i32) (result i32) (local{})",
        " i32".repeat(n)
    );
    for i in 0..n {
        wat.push_str(&format!("(local.set {} (i32.load (i32.add (local.get 0) (i32.const {}))))", i + 1, 4 * i));
    }
    for i in 0..n {
        let (a, b) = (i * 7 % n + 1, i * 13 % n + 1);
        wat.push_str(&format!(
            "(if (i32.eq (local.get 0) (i32.const {i})) (then (local.set {} (i32.add (local.get {a}) (local.get {b})))))",
            i + 1
        ));
    }
    wat.push_str("(i32.const 0)");
    for i in 0..n {
        wat.push_str(&format!("(local.get {}) i32.add", i + 1));
    }
    wat.push_str(")))");
    wat::parse_str(wat).unwrap()
}

pub fn manifest(name: &str, job_type: &str, more: &str) -> String {
    format!(
        "[plugin]\nname = \"{name}\"\nversion = \"1.0.0\"\n[[job]]\ntype = \"{job_type}\"\nqueue = \"money\"\nschema = \"schema.json\"\n{more}"
    )
}

/// A component with the manifest section of a good one; its schema takes anything.
pub fn with_manifest(component: &[u8], manifest: &str) -> Vec<u8> {
    with_schema(component, manifest, "{}")
}

pub fn with_schema(component: &[u8], manifest: &str, schema: &str) -> Vec<u8> {
    let data = json!({"manifest": manifest, "files": {"schema.json": schema}}).to_string();
    [component, &bytes::custom(SECTION, data.as_bytes())].concat()
}

/// A built component without its manifest.
pub fn unpacked(from: &str) -> Vec<u8> {
    // A second section of the same name is refused, so the one that is there gets another.
    let mut bytes = fs::read(component(from)).unwrap();
    let at = bytes.windows(13).rposition(|w| w == b"usher:plugin{").unwrap();
    bytes[at..at + 12].copy_from_slice(b"other:plugin");
    bytes
}

/// The component of another plugin, under a manifest of our own.
pub fn repacked(from: &str, manifest: &str) -> Vec<u8> {
    repacked_with(from, manifest, "{}")
}

/// The same with a schema of our own, too.
pub fn repacked_with(from: &str, manifest: &str, schema: &str) -> Vec<u8> {
    with_schema(&unpacked(from), manifest, schema)
}

/// A component that imports an interface of our package which no host serves: a letter of one that is served is another.
pub fn unserved() -> Vec<u8> {
    let mut bytes = fs::read(component("guest-mint.wasm")).unwrap();
    let name = b"usher:plugin/solana@";
    let places: Vec<_> = (0..bytes.len() - name.len()).filter(|&at| &bytes[at..at + name.len()] == name).collect();
    assert!(!places.is_empty(), "it imports solana");
    for at in places {
        bytes[at + name.len() - 2] = b'o';
    }
    bytes
}
