use std::{collections::BTreeMap, fs, path::Path};

use sha2::{Digest, Sha256};
use wasm_encoder::{ComponentSection, CustomSection};
use wit_component::ComponentEncoder;

use super::inspect::{Embedded, InspectError, SECTION, inspect};
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

/// A manifest with the files that it names, checked.
pub struct Source {
    pub toml: String,
    pub files: BTreeMap<String, String>,
    pub manifest: Manifest,
}

/// A component with its manifest and the files that it names embedded.
pub fn pack(manifest: &Path, made: Made<'_>) -> Result<Vec<u8>, PackError> {
    Source::read(manifest)?.component(made)
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

    /// The same with a version of its own, of all that makes the component: a host takes a version's content once, and whoever
    /// tries things out shall not have to count.
    pub fn stamped(mut self, core: &[u8]) -> Result<Self, ManifestError> {
        let mut hash = Sha256::new_with_prefix(core);
        hash.update(&self.toml);
        self.files.values().for_each(|text| hash.update(text));
        let hash: [u8; 32] = hash.finalize().into();
        let place = manifest::version_place(&self.toml)?;
        let (plain, _) = self.manifest.version.split_once('+').unwrap_or((self.manifest.version.as_str(), ""));
        let version = format!("{plain}+dev.{}", hex::encode(&hash[..4]));
        self.toml.replace_range(place, &format!("\"{version}\""));
        self.manifest.version = version;
        Ok(self)
    }

    pub fn component(&self, made: Made<'_>) -> Result<Vec<u8>, PackError> {
        let read = |path: &Path| fs::read(path).map_err(|source| PackError::Read { path: shown(path), source });
        let (path, mut component) = match made {
            Made::Core(path) => {
                let component = ComponentEncoder::default()
                    .validate(true)
                    .module(&read(path)?)
                    .and_then(ComponentEncoder::encode)
                    .map_err(|e| PackError::Encode { path: shown(path), message: format!("{e:#}") })?;
                (path, component)
            }
            Made::Component(path) => {
                let component = read(path)?;
                let found = inspect(&component).map_err(|source| PackError::Component { path: shown(path), source })?;
                if found.embedded.is_some() {
                    return Err(PackError::Packed { path: shown(path) });
                }
                (path, component)
            }
        };
        let embedded = Embedded { manifest: self.toml.clone(), files: self.files.clone() };
        let embedded = serde_json::to_vec(&embedded)
            .map_err(|e| PackError::Encode { path: shown(path), message: e.to_string() })?;
        CustomSection { name: SECTION.into(), data: embedded.into() }.append_to_component(&mut component);
        Ok(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_content_has_a_version_of_its_own_and_the_same_content_the_same() {
        let toml = "[plugin]\nname = \"a\"\nversion = \"1.2.0\" # so\n[[job]]\ntype = \"a\"\nqueue = \"money\"\nschema = \"s\"\n";
        let files = BTreeMap::from([("s".to_owned(), "{}".to_owned())]);
        let stamped = |core: &[u8]| {
            let manifest = manifest::parse(toml, &files).expect("a manifest");
            let source = Source { toml: toml.to_owned(), files: files.clone(), manifest };
            let source = source.stamped(core).expect("stamped");
            assert_eq!(manifest::parse(&source.toml, &files).expect("still a manifest"), source.manifest);
            assert!(source.toml.contains("\" # so\n"), "{}", source.toml);
            source.manifest.version
        };
        assert!(stamped(b"one").starts_with("1.2.0+dev."), "{}", stamped(b"one"));
        assert_eq!(stamped(b"one"), stamped(b"one"));
        assert_ne!(stamped(b"one"), stamped(b"two"));
    }
}
