//! What compiles a plugin written in Rust: the toolchain's own target, or the distribution's compiler with the sources of std.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::cli::Failure;

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler that was found.
pub(super) enum Toolchain {
    /// Its std for wasm is there.
    Rustup,
    /// Debian's rustc; std is built along.
    Debian { rustc: PathBuf, linker: PathBuf },
}

impl Toolchain {
    /// `dir` is the project's: a `rust-toolchain.toml` there decides.
    pub fn find(dir: &Path) -> Result<Self, Failure> {
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
    pub fn cargo(&self, dir: &Path) -> Command {
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

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
