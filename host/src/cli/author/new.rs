use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{sdk, usage};
use crate::cli::Failure;

/// Write a project that builds by itself, with a job that sends a mail.
#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// Name of the plugin, and of the folder that is made: 1 to 64 of a-z, 0-9 and -
    #[arg(required_unless_present = "sdk")]
    name: Option<String>,
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// Replace the SDK of the project that is here by the one that this binary carries, and nothing else.
    #[arg(long, conflicts_with = "name")]
    sdk: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lang {
    Rust,
}

/// By path; `NAME` stands for the plugin's name.
const RUST: [(&str, &str); 7] = [
    (".gitignore", "/target\n/.usher\n"),
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("README.md", include_str!("template/README.md")),
    ("cases/welcome.json", include_str!("template/case.json")),
    ("plugin.toml", include_str!("template/plugin.toml")),
    ("schema.json", include_str!("template/schema.json")),
    ("src/lib.rs", include_str!("template/lib.rs")),
];

/// Where a project keeps the SDK.
const SDK: &str = "vendor/usher-plugin";

impl New {
    pub fn run(self) -> Result<(), Failure> {
        let Some(name) = &self.name else { return replace_sdk(Path::new(".")) };
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if name.len() > 64 || !starts || name.ends_with('-') || !name.chars().all(known) {
            return Err(Failure::Usage(format!("\"{name}\" is no name: a letter, then up to 63 of a-z, 0-9 and -")));
        }
        let dir = PathBuf::from(name);
        if dir.exists() {
            return Err(usage(&dir, "is there already"));
        }
        match self.lang {
            Lang::Rust => {
                for (path, text) in RUST {
                    write(&dir.join(path), &text.replace("NAME", name))?;
                }
                write_sdk(&dir)?;
            }
        }
        println!("{name}/ is a plugin. Next: cd {name} && usher plugin test");
        Ok(())
    }
}

fn replace_sdk(dir: &Path) -> Result<(), Failure> {
    let there = dir.join(SDK);
    if !there.is_dir() {
        return Err(usage(&there, "there is no SDK to replace: this is no project made by `usher plugin new`"));
    }
    fs::remove_dir_all(&there).map_err(|e| usage(&there, format!("cannot be replaced: {e}")))?;
    write_sdk(dir)?;
    println!("{} is that of usher {}", there.display(), env!("CARGO_PKG_VERSION"));
    Ok(())
}

fn write_sdk(dir: &Path) -> Result<(), Failure> {
    sdk::files().iter().try_for_each(|(path, text)| write(&dir.join(SDK).join(path), text))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let made = match file.parent() {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    };
    made.and_then(|()| fs::write(file, text)).map_err(|e| usage(file, format!("cannot be written: {e}")))
}
