use std::path::Path;

use clap::ValueEnum;

use super::usage;
use crate::cli::Failure;

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Lang {
    Rust,
    /// TypeScript or JavaScript.
    #[value(alias = "js")]
    Ts,
    /// Python (experimental).
    Py,
}

/// What a project has of each: the file that its toolchain begins with.
const ENTRIES: [(&str, Lang); 4] =
    [("Cargo.toml", Lang::Rust), ("src/plugin.ts", Lang::Ts), ("src/plugin.js", Lang::Ts), ("src/app.py", Lang::Py)];

impl Lang {
    /// Of a project, by its files.
    pub fn of(dir: &Path) -> Result<Self, Failure> {
        let found = ENTRIES.into_iter().find(|(file, _)| dir.join(file).is_file());
        found.map(|(_, lang)| lang).ok_or_else(|| {
            usage(
                dir,
                "there is no code beside plugin.toml: Cargo.toml (Rust), src/plugin.ts or src/plugin.js (TypeScript, JavaScript), \
                 src/app.py (Python)",
            )
        })
    }
}
