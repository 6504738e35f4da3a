use std::{collections::BTreeMap, fs, path::Path};

use wasm_encoder::{ComponentSection, CustomSection};
use wit_component::ComponentEncoder;

use super::inspect::{Embedded, InspectError, SECTION, inspect};
use crate::releases::manifest::{self, ManifestError};

#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Manifest { path: String, source: ManifestError },
    #[error("{path} does not become a component: {message}")]
    Encode { path: String, message: String },
    #[error("{path} {source}")]
    Component { path: String, source: InspectError },
    #[error("{path} carries a manifest already: pack what the toolchain made")]
    Packed { path: String },
}

/// What a toolchain made.
#[derive(Clone, Copy, Debug)]
pub enum Made<'a> {
    /// A core module with the type of its world, as wit-bindgen leaves it.
    Core(&'a Path),
    /// As the toolchains of JavaScript and Python leave it.
    Component(&'a Path),
}

/// A component with its manifest and the files that it names embedded.
pub fn pack(manifest: &Path, made: Made<'_>) -> Result<Vec<u8>, PackError> {
    let shown = |path: &Path| path.display().to_string();
    let read = |path: &Path| fs::read(path).map_err(|source| PackError::Read { path: shown(path), source });
    let text = |path: &Path| fs::read_to_string(path).map_err(|source| PackError::Read { path: shown(path), source });
    let bad = |source| PackError::Manifest { path: shown(manifest), source };

    let toml = text(manifest)?;
    let beside = manifest.parent().unwrap_or(Path::new("."));
    let mut files = BTreeMap::new();
    for name in manifest::files_named(&toml).map_err(bad)? {
        files.insert(name.clone(), text(&beside.join(&name))?);
    }
    manifest::parse(&toml, &files).map_err(bad)?;

    let mut component = match made {
        Made::Core(path) => ComponentEncoder::default()
            .validate(true)
            .module(&read(path)?)
            .and_then(ComponentEncoder::encode)
            .map_err(|e| PackError::Encode { path: shown(path), message: format!("{e:#}") })?,
        Made::Component(path) => {
            let component = read(path)?;
            let found = inspect(&component).map_err(|source| PackError::Component { path: shown(path), source })?;
            if found.embedded.is_some() {
                return Err(PackError::Packed { path: shown(path) });
            }
            component
        }
    };
    let embedded = serde_json::to_vec(&Embedded { manifest: toml, files })
        .map_err(|e| PackError::Encode { path: shown(manifest), message: e.to_string() })?;
    CustomSection { name: SECTION.into(), data: embedded.into() }.append_to_component(&mut component);
    Ok(component)
}
