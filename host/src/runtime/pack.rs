use std::{collections::BTreeMap, fs, path::Path};

use wasm_encoder::{ComponentSection, CustomSection};
use wit_component::ComponentEncoder;

use super::inspect::{Embedded, SECTION};
use crate::releases::{
    Manifest,
    manifest::{self, ManifestError},
};

#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Manifest { path: String, source: ManifestError },
    #[error("{path} does not become a component: {message}")]
    Encode { path: String, message: String },
}

/// A manifest with the files that it names, checked.
pub struct Source {
    pub toml: String,
    pub files: BTreeMap<String, String>,
    pub manifest: Manifest,
}

/// A component of a core module, with its manifest and the files that it names embedded.
pub fn pack(manifest: &Path, core: &Path) -> Result<Vec<u8>, PackError> {
    Source::read(manifest)?.component(core)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Source {
    pub fn read(manifest: &Path) -> Result<Self, PackError> {
        let text =
            |path: &Path| fs::read_to_string(path).map_err(|source| PackError::Read { path: shown(path), source });
        let bad = |source| PackError::Manifest { path: shown(manifest), source };
        let toml = text(manifest)?;
        let beside = manifest.parent().unwrap_or(Path::new("."));
        let mut files = BTreeMap::new();
        for name in manifest::files_named(&toml).map_err(bad)? {
            files.insert(name.clone(), text(&beside.join(&name))?);
        }
        let manifest = manifest::parse(&toml, &files).map_err(bad)?;
        Ok(Self { toml, files, manifest })
    }

    pub fn component(&self, core: &Path) -> Result<Vec<u8>, PackError> {
        let encode = |e: &dyn std::fmt::Display| PackError::Encode { path: shown(core), message: e.to_string() };
        let module = fs::read(core).map_err(|source| PackError::Read { path: shown(core), source })?;
        let mut component = ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .and_then(ComponentEncoder::encode)
            .map_err(|e| encode(&format!("{e:#}")))?;
        let embedded = Embedded { manifest: self.toml.clone(), files: self.files.clone() };
        let embedded = serde_json::to_vec(&embedded).map_err(|e| encode(&e))?;
        CustomSection { name: SECTION.into(), data: embedded.into() }.append_to_component(&mut component);
        Ok(component)
    }
}
