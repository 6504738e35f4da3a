use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, ElementItems,
    ElementKind, ElementSectionReader, Encoding, Instance, Parser, Payload,
};

use super::engine::PER_COMPONENT;
use crate::releases::Needs;

/// Name of the custom section that carries the manifest.
pub const SECTION: &str = "usher:plugin";
/// Its largest size.
const MAX_SECTION: usize = 4 << 20;
/// Most elements of passive segments in all of a component. Each instance of their module has a copy of them, 16 bytes each, in
/// memory of the host's that no limit of a guest is about; a few megabytes of a component would be gigabytes there.
const MAX_PASSIVE: u32 = 4096;

/// Most imports, exports, and components in one component: a toolchain makes a tenth of them at most, and so many are little
/// enough to keep.
const MAX_ITEMS: usize = 1_000;
/// Components within components.
const MAX_DEPTH: usize = 100;
/// Longest name of an import or an export.
const MAX_NAME: usize = 512;

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
    /// Core instances of one instance; memories and tables as they stand in the text, where the compiler's count decides.
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
    #[error("has more than {MAX_PASSIVE} elements in passive segments, which each instance would copy")]
    Passive,
    #[error("has {0} than any plugin needs")]
    TooMuch(&'static str),
}

/// A component or module under way in the text.
#[derive(Default)]
struct Frame {
    is_component: bool,
    /// Of one instance of it, those of the components that it instantiates included.
    core_instances: u32,
    /// The same for each component of its index space; `None`: given from outside, so not known here.
    components: Vec<Option<u32>>,
}

impl Frame {
    fn instantiates(&mut self, component: u32) {
        let known = self.components.get(component as usize).copied().flatten();
        self.core_instances = self.core_instances.saturating_add(known.unwrap_or(PER_COMPONENT));
    }

    fn knows(&mut self, component: Option<u32>) -> Result<(), InspectError> {
        if self.components.len() == MAX_ITEMS {
            return Err(InspectError::TooMuch("more components in one"));
        }
        self.components.push(component);
        Ok(())
    }
}

fn keep(names: &mut Vec<String>, name: &str, too_many: &'static str) -> Result<(), InspectError> {
    if names.len() == MAX_ITEMS {
        return Err(InspectError::TooMuch(too_many));
    }
    // They go into answers and logs as they are.
    if name.len() > MAX_NAME || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(InspectError::Damaged("the name of an import or an export is none".to_owned()));
    }
    names.push(name.to_owned());
    Ok(())
}

/// Reads structure only; cost is linear in the size, whatever the bytes are.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, InspectError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(InspectError::NotWasm);
    }
    let damaged = |e: wasmparser::BinaryReaderError| InspectError::Damaged(e.to_string());
    let mut found = Inspected::default();
    let mut passive = 0_u32;
    let mut frames: Vec<Frame> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(damaged)?;
        if let Payload::Version { encoding, .. } = payload {
            let is_component = encoding == Encoding::Component;
            if frames.is_empty() && !is_component {
                return Err(InspectError::CoreModule);
            }
            if frames.len() == MAX_DEPTH {
                return Err(InspectError::TooMuch("components nested deeper"));
            }
            frames.push(Frame { is_component, ..Frame::default() });
            continue;
        }
        if let Payload::End(_) = payload {
            let Some(ended) = frames.pop() else { continue };
            match frames.last_mut() {
                Some(around) if ended.is_component => around.knows(Some(ended.core_instances))?,
                Some(_) => {}
                None => found.needs.core_instances = ended.core_instances,
            }
            continue;
        }
        if let Payload::ComponentAliasSection(section) = payload {
            for alias in section {
                let component = match alias.map_err(damaged)? {
                    ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                        let outer = frames.iter().rev().nth(count as usize);
                        outer.and_then(|frame| frame.components.get(index as usize).copied().flatten())
                    }
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => None,
                    _ => continue,
                };
                if let Some(frame) = frames.last_mut() {
                    frame.knows(component)?;
                }
            }
            continue;
        }
        let outermost = frames.len() == 1;
        let Some(frame) = frames.last_mut() else { continue };
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(damaged)?;
                    if let ComponentTypeRef::Component(_) = import.ty {
                        frame.knows(None)?;
                    }
                    if outermost {
                        keep(&mut found.imports, import.name.name, "more imports")?;
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(damaged)?;
                    // An export is a name of its own for what it exports.
                    if export.kind == ComponentExternalKind::Component {
                        frame.knows(frame.components.get(export.index as usize).copied().flatten())?;
                    }
                    if outermost {
                        keep(&mut found.exports, export.name.name, "more exports")?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance.map_err(damaged)? {
                        frame.instantiates(component_index);
                    }
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    if let Instance::Instantiate { .. } = instance.map_err(damaged)? {
                        frame.core_instances = frame.core_instances.saturating_add(1);
                    }
                }
            }
            Payload::MemorySection(section) => {
                found.needs.memories = found.needs.memories.saturating_add(section.count());
            }
            Payload::TableSection(section) => found.needs.tables = found.needs.tables.saturating_add(section.count()),
            Payload::ElementSection(section) => {
                passive = passive.saturating_add(passive_elements(section).map_err(damaged)?);
                if passive > MAX_PASSIVE {
                    return Err(InspectError::Passive);
                }
            }
            Payload::CustomSection(section) if outermost && section.name() == SECTION => {
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

fn passive_elements(section: ElementSectionReader<'_>) -> wasmparser::Result<u32> {
    let mut count = 0_u32;
    for element in section {
        let element = element?;
        if let ElementKind::Passive = element.kind {
            count = count.saturating_add(match element.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            });
        }
    }
    Ok(count)
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
    fn core_instances_count_as_often_as_they_are_made() {
        let twice = "(core module $m) (component $a (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))";
        for (text, made) in [
            ("(core module $m)".to_owned(), 0),
            ("(core module $m) (core instance (instantiate $m))".to_owned(), 1),
            (twice.to_owned(), 0),
            (
                format!(
                    "{twice} (instance (instantiate $a)) (core instance (instantiate $m)) (instance (instantiate $a))"
                ),
                5,
            ),
            (
                format!(
                    "{twice} (component $b (alias outer 1 $a (component $c)) (instance (instantiate $c)) (instance (instantiate $c))) (instance (instantiate $b)) (instance (instantiate $b))"
                ),
                8,
            ),
            (format!("{twice} (export $e \"e\" (component $a)) (instance (instantiate $e))"), 2),
        ] {
            let bytes = wat::parse_str(format!("(component {text})")).expect("a component");
            assert_eq!(inspect(&bytes).expect("inspected").needs.core_instances, made, "{text}");
        }
        let given = "(component (component $a (import \"c\" (component $c)) (instance (instantiate $c)))
            (component $n) (instance (instantiate $a (with \"c\" (component $n)))))";
        let bytes = wat::parse_str(given).expect("a component");
        assert_eq!(
            inspect(&bytes).expect("inspected").needs.core_instances,
            PER_COMPONENT,
            "not known: as many as may be"
        );
    }

    #[test]
    fn what_each_instance_would_copy_into_the_hosts_memory_is_bounded() {
        let with = |elements: u32| {
            let functions = " 0".repeat(elements as usize);
            let text = format!("(component (core module (func) (elem func{functions}) (elem declare func 0)))");
            inspect(&wat::parse_str(text).expect("a component"))
        };
        assert!(with(MAX_PASSIVE).is_ok());
        assert_eq!(with(MAX_PASSIVE + 1).expect_err("too many"), InspectError::Passive);
        // Those that fill a table from the start are in the table, which is counted.
        let active = format!(
            "(component (core module (func) (table 9000 funcref) (elem (i32.const 0) func{})))",
            " 0".repeat(9000)
        );
        assert!(inspect(&wat::parse_str(active).expect("a component")).is_ok());
    }

    #[test]
    fn what_is_kept_of_a_component_is_bounded() {
        let imports = |count: usize, name: &str| {
            let each: String = (0..count).map(|n| format!("(import \"{name}{n}\" (func))")).collect();
            inspect(&wat::parse_str(format!("(component {each})")).expect("a component"))
        };
        assert_eq!(imports(MAX_ITEMS, "n").expect("so many may be").imports.len(), MAX_ITEMS);
        assert_eq!(imports(MAX_ITEMS + 1, "n").expect_err("too many"), InspectError::TooMuch("more imports"));
        for name in ["a\\n", "a b", "\u{e9}", &"n".repeat(MAX_NAME)] {
            assert!(matches!(imports(1, name), Err(InspectError::Damaged(_))), "{name:?}");
        }
        let mut nested = EMPTY.to_vec();
        for _ in 1..MAX_DEPTH {
            nested = within(&nested);
        }
        assert!(inspect(&nested).is_ok());
        assert_eq!(inspect(&within(&nested)).expect_err("too deep"), InspectError::TooMuch("components nested deeper"));
    }

    /// A component that holds this one and nothing else.
    fn within(component: &[u8]) -> Vec<u8> {
        let mut all = EMPTY.to_vec();
        all.push(4);
        let mut size = component.len();
        while size > 0x7f {
            all.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        all.push(size as u8);
        all.extend(component);
        all
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
