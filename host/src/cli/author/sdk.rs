//! The SDKs as this binary carries them: what `new` puts into a project, so that it builds without anything of ours on a
//! registry, and against the contract that this host serves.

use crate::releases::world::WIT;

macro_rules! sources {
    ($($file:literal),+ $(,)?) => {
        [$(($file, include_str!(concat!("../../../../plugins/sdk/src/", $file)))),+]
    };
}

/// Where a project keeps the SDK.
pub(super) const RUST: &str = "vendor/usher-plugin";
pub(super) const TS: &str = "vendor/usher";

/// By path below `src`.
const SOURCES: [(&str, &str); 23] = sources![
    "context.rs",
    "email.rs",
    "entropy.rs",
    "error.rs",
    "failure.rs",
    "heap.rs",
    "host.rs",
    "job.rs",
    "jobs.rs",
    "lib.rs",
    "log.rs",
    "money.rs",
    "plugin.rs",
    "progress.rs",
    "push.rs",
    "raw.rs",
    "sms.rs",
    "solana.rs",
    "stripe.rs",
    "testing/calls.rs",
    "testing/mod.rs",
    "upstream.rs",
    "webhook.rs",
];

macro_rules! scripts {
    ($($file:literal),+ $(,)?) => {
        [$(($file, include_str!(concat!("../../../../plugins/sdk-js/", $file)))),+]
    };
}

const SCRIPTS: [(&str, &str); 5] = scripts!["console.ts", "contract.d.ts", "replay.ts", "runtime.d.ts", "usher.ts"];

/// What that SDK is developed with, which is what a plugin is made with.
const PACKAGES: [(&str, &str); 2] = scripts!["package.json", "package-lock.json"];
/// Its name there.
const PACKAGE: &str = "usher-plugin-js";

/// The SDK for TypeScript and JavaScript, by path.
pub(super) fn typescript() -> Vec<(String, String)> {
    let rest = [("README.md", README)];
    SCRIPTS.into_iter().chain(rest).map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// `package.json` and its lock file: the toolchain for TypeScript and JavaScript, each of its packages pinned.
pub(super) fn packages(name: &str) -> Vec<(String, String)> {
    PACKAGES.into_iter().map(|(path, text)| (path.to_owned(), text.replace(PACKAGE, name))).collect()
}

/// All files of the crate, by path.
pub(super) fn rust() -> Vec<(String, String)> {
    let sources = SOURCES.iter().map(|(path, text)| (format!("src/{path}"), (*text).to_owned()));
    let rest = [
        ("Cargo.toml".to_owned(), manifest()),
        ("wit/usher.wit".to_owned(), WIT.to_owned()),
        ("README.md".to_owned(), README.to_owned()),
    ];
    sources.chain(rest).collect()
}

const README: &str = "\
The SDK of Usher, put here by `usher plugin new`. `usher plugin new --sdk` replaces it by that of a newer `usher`.
";

/// The crate's manifest without what it inherits from the workspace that it is developed in.
fn manifest() -> String {
    let inherited = [
        // Before "version", which is its end.
        ("rust-version.workspace = true", concat!("rust-version = \"", env!("CARGO_PKG_RUST_VERSION"), "\"")),
        ("version.workspace = true", concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"")),
        ("edition.workspace = true", "edition = \"2024\""),
        ("license.workspace = true", "license = \"Apache-2.0\""),
        ("publish.workspace = true", "publish = false"),
        ("serde.workspace = true", "serde = { version = \"1\", features = [\"derive\"] }"),
        ("serde_json.workspace = true", "serde_json = \"1\""),
        ("[lints]\nworkspace = true\n", ""),
    ];
    let text = include_str!("../../../../plugins/sdk/Cargo.toml").to_owned();
    inherited.into_iter().fold(text, |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    fn below(dir: &Path, root: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(dir).expect("the SDK's sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                below(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).expect("below").to_owned());
            }
        }
    }

    #[test]
    fn every_source_of_the_sdk_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk/src");
        let mut there = BTreeSet::new();
        below(&root, &root, &mut there);
        let carried: BTreeSet<_> = SOURCES.iter().map(|(path, _)| PathBuf::from(path)).collect();
        assert_eq!(carried, there);
    }

    #[test]
    fn every_script_of_the_sdk_is_carried_and_the_toolchain_has_the_plugins_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk-js");
        let scripts = fs::read_dir(root).expect("the SDK").flatten().map(|entry| entry.file_name());
        let there: BTreeSet<_> = scripts.filter(|name| name.to_string_lossy().ends_with(".ts")).collect();
        let carried: BTreeSet<_> = SCRIPTS.iter().map(|(path, _)| std::ffi::OsString::from(path)).collect();
        assert_eq!(carried, there);
        for (path, text) in packages("welcome") {
            let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(json["name"], "welcome", "{path}");
            assert!(!text.contains(PACKAGE), "{path}");
        }
    }

    #[test]
    fn the_carried_manifest_stands_alone_and_names_what_the_workspace_does() {
        let text = manifest();
        assert!(!text.contains("workspace"), "{text}");
        let carried: toml::Table = toml::from_str(&text).expect("TOML");
        let workspace: toml::Table = toml::from_str(include_str!("../../../../plugins/Cargo.toml")).expect("TOML");
        for name in ["serde", "serde_json"] {
            assert_eq!(carried["dependencies"][name], workspace["workspace"]["dependencies"][name], "{name}");
        }
        for key in ["edition", "rust-version", "license", "publish"] {
            assert_eq!(carried["package"][key], workspace["workspace"]["package"][key], "{key}");
        }
    }
}
