use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{lang::Lang, sdk, usage};
use crate::cli::Failure;

/// Write a project that builds by itself, with a job that sends a mail.
#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// Name of the plugin, and of the folder that is made: 1 to 64 of a-z, 0-9 and -
    #[arg(required_unless_present = "sdk")]
    name: Option<String>,
    /// What it is written in. Python is experimental: an instance has 12.8 MiB from the start
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// Replace the SDK of the project that is here by the one that this binary carries, and nothing else.
    #[arg(long, conflicts_with_all = ["name", "lang"])]
    sdk: bool,
}

/// By path; `NAME` stands for the plugin's name.
type Files = &'static [(&'static str, &'static str)];

const OF_ALL: Files = &[
    ("cases/welcome.json", include_str!("template/case.json")),
    ("schema.json", include_str!("template/schema.json")),
];

const RUST: Files = &[
    (".gitignore", "/target\n/.usher\n"),
    ("Cargo.toml", include_str!("template/rust/Cargo.toml.in")),
    ("README.md", include_str!("template/rust/README.md")),
    ("plugin.toml", include_str!("template/rust/plugin.toml")),
    ("src/lib.rs", include_str!("template/rust/lib.rs")),
];

const TS: Files = &[
    (".gitignore", "/target\n/.usher\n/node_modules\n"),
    ("README.md", include_str!("template/ts/README.md")),
    ("plugin.toml", include_str!("template/rust/plugin.toml")),
    ("src/plugin.ts", include_str!("template/ts/plugin.ts")),
    ("tsconfig.json", include_str!("template/ts/tsconfig.json")),
];

const PY: Files = &[
    (".gitignore", "/target\n/.usher\n/.venv\n__pycache__/\n"),
    ("README.md", include_str!("template/py/README.md")),
    ("plugin.toml", include_str!("template/py/plugin.toml")),
    ("requirements.txt", include_str!("template/py/requirements.txt")),
    ("src/app.py", include_str!("template/py/app.py")),
];

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
        let (own, next) = match self.lang {
            Lang::Rust => (RUST, ""),
            Lang::Ts => (TS, "npm ci && "),
            Lang::Py => (PY, "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && "),
        };
        for (path, text) in OF_ALL.iter().chain(own) {
            write(&dir.join(path), &text.replace("NAME", name))?;
        }
        match self.lang {
            Lang::Rust => write_all(&dir.join(sdk::RUST), sdk::rust())?,
            Lang::Ts => {
                write_all(&dir, sdk::packages(name))?;
                write_all(&dir.join(sdk::TS), sdk::typescript())?;
            }
            Lang::Py => {}
        }
        println!("{name}/ is a plugin. Next: cd {name} && {next}usher plugin test");
        Ok(())
    }
}

fn replace_sdk(dir: &Path) -> Result<(), Failure> {
    let (rust, typescript) = (dir.join(sdk::RUST), dir.join(sdk::TS));
    let (there, files) = match (rust.is_dir(), typescript.is_dir()) {
        (true, _) => (rust, sdk::rust()),
        (false, true) => (typescript, sdk::typescript()),
        (false, false) => {
            let message = "holds no SDK that could be replaced: this is no project made by `usher plugin new`";
            return Err(usage(&dir.join("vendor"), message));
        }
    };
    fs::remove_dir_all(&there).map_err(|e| usage(&there, format!("cannot be replaced: {e}")))?;
    write_all(&there, files)?;
    println!("{} is that of usher {}", there.display(), env!("CARGO_PKG_VERSION"));
    Ok(())
}

fn write_all(dir: &Path, files: Vec<(String, String)>) -> Result<(), Failure> {
    files.iter().try_for_each(|(path, text)| write(&dir.join(path), text))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let made = match file.parent() {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    };
    made.and_then(|()| fs::write(file, text)).map_err(|e| usage(file, format!("cannot be written: {e}")))
}
