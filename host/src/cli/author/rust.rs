//! What compiles a plugin written in Rust: the toolchain's own target, or the distribution's compiler with the sources of std.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{toolchain::output, usage};
use crate::cli::Failure;

const TARGET: &str = "wasm32-unknown-unknown";

/// Runs cargo, whose own words go to the terminal; returns the core module.
pub(super) fn compile(dir: &Path) -> Result<PathBuf, Failure> {
    let output = Toolchain::find(dir)?
        .cargo(dir)
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| Failure::Usage(format!("cargo cannot be run: {e}")))?;
    if !output.status.success() {
        return Err(Failure::Failed(anyhow::anyhow!("the plugin does not compile")));
    }
    let modules: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| {
            let files = message["filenames"].as_array().cloned().unwrap_or_default();
            files.iter().filter_map(|file| file.as_str().map(PathBuf::from)).collect::<Vec<_>>()
        })
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    match modules.as_slice() {
        [module] => Ok(module.clone()),
        [] => Err(usage(&dir.join("Cargo.toml"), "makes no module: [lib] wants crate-type = [\"cdylib\"]")),
        _ => Err(usage(&dir.join("Cargo.toml"), "makes more than one module; one plugin is one cdylib")),
    }
}

/// A compiler that was found.
enum Toolchain {
    /// Its std for wasm is there.
    Rustup,
    /// Debian's rustc; std is built along.
    Debian { rustc: PathBuf, linker: PathBuf },
}

impl Toolchain {
    /// `dir` is the project's: a `rust-toolchain.toml` there decides.
    fn find(dir: &Path) -> Result<Self, Failure> {
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(dir)).map(PathBuf::from);
        let sysroot = sysroot.ok_or_else(|| {
            Failure::Usage("there is no rustc on the PATH: install Rust (https://rustup.rs)".to_owned())
        })?;
        let libraries = sysroot.join("lib/rustlib");
        if libraries.join(TARGET).join("lib").is_dir() {
            return Ok(Self::Rustup);
        }
        let lld = host_triple(dir).map(|host| libraries.join(host).join("bin/rust-lld"));
        match (debian_rustc(), lld.filter(|lld| lld.is_file())) {
            (Some(rustc), Some(linker)) => Ok(Self::Debian { rustc, linker }),
            _ => Err(Failure::Usage(format!(
                "rustc has no {TARGET} here: run `rustup target add {TARGET}`, or on Debian `apt-get install rustc-web rust-web-src`"
            ))),
        }
    }

    /// `cargo`, ready for the arguments of a build.
    fn cargo(&self, dir: &Path) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let mut flags: Vec<String> =
            env::var("RUSTFLAGS").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        // Random numbers of crates come from the SDK, which has them from the host.
        flags.extend(["--cfg".to_owned(), "getrandom_backend=\"custom\"".to_owned()]);
        // Panic messages name files; where this machine keeps its crates is nobody's business.
        if let Some(home) = cargo_home() {
            flags.push(format!("--remap-path-prefix={}=deps", home.join("registry/src").display()));
        }
        cargo.current_dir(dir).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        if let Self::Debian { rustc, linker } = self {
            cargo
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                .env_remove("RUSTUP_TOOLCHAIN");
        }
        cargo
    }
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
}

fn host_triple(dir: &Path) -> Option<String> {
    let version = output(Command::new("rustc").arg("-vV").current_dir(dir))?;
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

/// Both packages, or none: without the sources it has no std for wasm.
fn debian_rustc() -> Option<PathBuf> {
    let files = output(Command::new("dpkg").args(["-L", "rustc-web"]))?;
    output(Command::new("dpkg").args(["-L", "rust-web-src"]))?;
    files.lines().find(|line| line.ends_with("bin/rustc")).map(PathBuf::from)
}
