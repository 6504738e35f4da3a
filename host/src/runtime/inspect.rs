use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

use crate::releases::Needs;

/// Name of the custom section that carries the manifest.
pub const SECTION: &str = "usher:plugin";
/// Its largest size.
const MAX_SECTION: usize = 4 << 20;

/// What the section holds: the manifest verbatim, and the files that it names.
#[derive(Debug, Serialize, Deserialize)]
pub struct Embedded {
    pub manifest: String,
    pub files: BTreeMap<String, String>,
}

/// What can be seen without compiling.
#[derive(Debug, Default)]
pub struct Inspected {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    pub embedded: Option<Embedded>,
    /// Counted in the text of the component; the pool's own count decides.
    pub needs: Needs,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    #[error("is no WebAssembly")]
    NotWasm,
    #[error("is a core module, not a component: pack it with `usher plugin pack`")]
    CoreModule,
    #[error("is cut short or damaged: {0}")]
    Damaged(String),
    #[error("the section {SECTION} is not readable: {0}")]
    Section(String),
}

/// Reads structure only; cost is linear in the size, whatever the bytes are.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, InspectError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(InspectError::NotWasm);
    }
    let damaged = |e: wasmparser::BinaryReaderError| InspectError::Damaged(e.to_string());
    let mut found = Inspected::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(InspectError::CoreModule);
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    found.imports.push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    found.exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    if let wasmparser::Instance::Instantiate { .. } = instance.map_err(damaged)? {
                        found.needs.core_instances += 1;
                    }
                }
            }
            Payload::MemorySection(section) => found.needs.memories += section.count(),
            Payload::TableSection(section) => found.needs.tables += section.count(),
            Payload::CustomSection(section) if depth == 1 && section.name() == SECTION => {
                if found.embedded.is_some() || section.data().len() > MAX_SECTION {
                    return Err(InspectError::Section("there twice, or too large".to_owned()));
                }
                let embedded =
                    serde_json::from_slice(section.data()).map_err(|e| InspectError::Section(e.to_string()))?;
                found.embedded = Some(embedded);
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty component: magic, version 13, layer 1.
    const EMPTY: [u8; 8] = [0, b'a', b's', b'm', 13, 0, 1, 0];

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert_eq!(inspect(b"").expect_err("empty"), InspectError::NotWasm);
        assert_eq!(inspect(b"#!/bin/sh").expect_err("text"), InspectError::NotWasm);
        assert_eq!(inspect(&[0, b'a', b's', b'm', 1, 0, 0, 0]).expect_err("module"), InspectError::CoreModule);
        assert!(matches!(inspect(b"\0asm"), Err(InspectError::Damaged(_))));
        let found = inspect(&EMPTY).expect("an empty component");
        assert!(found.embedded.is_none() && found.imports.is_empty());
    }

    #[test]
    fn damage_is_never_a_panic() {
        let mut bytes = EMPTY.to_vec();
        bytes.extend([0, 20, 12]);
        bytes.extend(b"usher:plugin");
        bytes.extend(b"{\"bad\":");
        assert!(matches!(inspect(&bytes), Err(InspectError::Section(_) | InspectError::Damaged(_))));
        for cut in 0..bytes.len() {
            let _ = inspect(&bytes[..cut]);
        }
    }
}
