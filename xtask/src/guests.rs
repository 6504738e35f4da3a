use std::{
    env,
    ffi::OsStr,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    languages,
    setup::Tools,
    sh::{self, Failure, OrFail, Result},
};

const TARGET: &str = "wasm32-unknown-unknown";

/// What compiles guests.
pub enum Compiler {
    /// The toolchain's own target.
    Rustup,
    /// Debian's rustc, with its sources of std, which are built along.
    Debian { rustc: PathBuf },
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustup => write!(f, "{TARGET} of the toolchain"),
            Self::Debian { rustc } => write!(f, "{TARGET} by {}", rustc.display()),
        }
    }
}

pub fn setup(check_only: bool) -> Result<Compiler> {
    if has_target()? {
        return Ok(Compiler::Rustup);
    }
    if let Some(rustc) = debian_rustc() {
        return Ok(Compiler::Debian { rustc });
    }
    if check_only {
        return Err(Failure::Missing("no compiler for guests: cargo xtask setup".to_owned()));
    }
    if sh::which("rustup").is_some() && sh::output(Command::new("rustup").args(["target", "add", TARGET])).is_ok() {
        return Ok(Compiler::Rustup);
    }
    if sh::can_apt() {
        sh::apt_install(&["rustc-web", "rust-web-src"])?;
        if let Some(rustc) = debian_rustc() {
            return Ok(Compiler::Debian { rustc });
        }
    }
    Err(Failure::Missing(format!(
        "no compiler for guests: run `rustup target add {TARGET}`, or on Debian `apt-get install rustc-web rust-web-src`"
    )))
}

fn sysroot() -> Result<PathBuf> {
    sh::output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(sh::root())).map(PathBuf::from)
}

fn has_target() -> Result<bool> {
    Ok(sysroot()?.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

/// Both packages, or none: without the sources it has no std for this target.
fn debian_rustc() -> Option<PathBuf> {
    let files = sh::output(Command::new("dpkg").args(["-L", "rustc-web"])).ok()?;
    sh::output(Command::new("dpkg").args(["-L", "rust-web-src"])).ok()?;
    files.lines().find(|line| line.ends_with("bin/rustc")).map(PathBuf::from)
}

/// Folders of packed components.
pub struct Built {
    pub plugins: PathBuf,
    pub guests: PathBuf,
}

/// Builds and packs `plugins/` and `tests/guests/`. Needs the host's binary, which packs.
pub fn build_all(tools: &Tools) -> Result<Built> {
    let usher = build_usher()?;
    let target = sh::target_dir()?;
    let built = Built { plugins: target.join("plugins"), guests: target.join("guests") };
    build(&tools.compiler, &usher, &sh::root().join("plugins"), &built.plugins)?;
    build(&tools.compiler, &usher, &sh::root().join("tests/guests"), &built.guests)?;
    languages::build(tools, &usher, &sh::root().join("tests/guests"), &built.guests)?;
    Ok(built)
}

/// The host, in the dev profile.
pub fn build_usher() -> Result<PathBuf> {
    sh::run(sh::cargo().args(["build", "--quiet", "--package", "usher-host"]).env("SQLX_OFFLINE", "true"))?;
    Ok(sh::target_dir()?.join("debug/usher"))
}

/// The same without Solana and the 450 crates that come with it, as `usher` in this folder: cargo's own place is that of the whole
/// host, which has to be built again (that is, linked) by whoever wants it next.
pub fn build_lean_usher(into: &Path) -> Result<PathBuf> {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--quiet", "--package", "usher-host", "--bin", "usher", "--no-default-features"]);
    sh::run(cargo.env("SQLX_OFFLINE", "true"))?;
    let usher = into.join("usher");
    fs::copy(sh::target_dir()?.join("debug/usher"), &usher).or_fail(usher.display())?;
    Ok(usher)
}

/// Only these components of both workspaces, by the names of their files.
pub fn build_some(compiler: &Compiler, usher: &Path, wanted: &[&str]) -> Result<Built> {
    let target = sh::target_dir()?;
    let built = Built { plugins: target.join("plugins"), guests: target.join("guests") };
    build_of(compiler, usher, &sh::root().join("plugins"), &built.plugins, |out| wanted.contains(&out))?;
    build_of(compiler, usher, &sh::root().join("tests/guests"), &built.guests, |out| wanted.contains(&out))?;
    Ok(built)
}

/// One workspace by its `build.list`: `crate features core.wasm manifest out.wasm`, top to bottom.
pub(crate) fn build(compiler: &Compiler, usher: &Path, workspace: &Path, into: &Path) -> Result<()> {
    build_of(compiler, usher, workspace, into, |_| true)
}

fn build_of(
    compiler: &Compiler,
    usher: &Path,
    workspace: &Path,
    into: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    fs::create_dir_all(into).or_fail("make the folder for components")?;
    let list = workspace.join("build.list");
    let text = fs::read_to_string(&list).or_fail(list.display())?;
    let target = sh::target_dir()?.join("wasm");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [name, features, core, manifest, out] = fields.as_slice() else {
            return sh::failed(format!("{}: not five fields: {line}", list.display()));
        };
        if !is_wanted(out) {
            continue;
        }
        let mut cargo = compiler.cargo(&target)?;
        cargo.current_dir(workspace).args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            TARGET,
            "--package",
            name,
        ]);
        if *features != "-" {
            cargo.args(["--features", features]);
        }
        sh::run(&mut cargo)?;
        let core = target.join(TARGET).join("release").join(core);
        pack(usher, &workspace.join(manifest), ["--core".as_ref(), core.as_os_str()], &into.join(out))?;
    }
    Ok(())
}

/// `what`: a core module or a component, by its flag.
pub(crate) fn pack(usher: &Path, manifest: &Path, what: [&OsStr; 2], out: &Path) -> Result<()> {
    let mut pack = Command::new(usher);
    sh::run(pack.args(["plugin", "pack", "--manifest"]).arg(manifest).args(what).arg("-o").arg(out))
}

impl Compiler {
    fn cargo(&self, target: &Path) -> Result<Command> {
        let mut cargo = sh::cargo();
        cargo.env("CARGO_TARGET_DIR", target);
        // Panic messages name files; where this machine keeps its crates is nobody's business.
        let home = env::var("CARGO_HOME")
            .or_else(|_| env::var("HOME").map(|home| format!("{home}/.cargo")))
            .unwrap_or_default();
        // The same flags as `usher plugin build`, one by one, so that both share what they build.
        let flags = ["--cfg", "getrandom_backend=\"custom\"", &format!("--remap-path-prefix={home}/registry/src=deps")];
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")).env_remove("RUSTFLAGS");
        if let Self::Debian { rustc } = self {
            let lld = sysroot()?.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
            cargo
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", lld)
                .env_remove("RUSTUP_TOOLCHAIN");
        }
        Ok(cargo)
    }
}
