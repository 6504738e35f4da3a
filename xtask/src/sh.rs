use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Why xtask ends early.
#[derive(Debug)]
pub enum Failure {
    /// Something this machine lacks and we cannot install: exit code 2.
    Missing(String),
    Failed(String),
}

pub type Result<T> = std::result::Result<T, Failure>;

pub fn failed<T>(message: impl Into<String>) -> Result<T> {
    Err(Failure::Failed(message.into()))
}

/// `.or_fail("what we did")` for anything that can go wrong.
pub trait OrFail<T> {
    fn or_fail(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> OrFail<T> for std::result::Result<T, E> {
    fn or_fail(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Failure::Failed(format!("{what}: {e}")))
    }
}

/// Runs a command to its end, its output shown.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().or_fail(shown(command))?;
    if status.success() { Ok(()) } else { failed(format!("{}: {status}", shown(command))) }
}

/// Runs a command to its end and returns its output, trimmed; on failure what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().or_fail(shown(command))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    failed(format!("{}: {}\n{}", shown(command), output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

fn shown(command: &Command) -> String {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    format!("{} {}", command.get_program().to_string_lossy(), args.join(" "))
}

/// A program on PATH.
pub fn which(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

pub fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|uid| uid == "0")
}

/// Debian (or a child of it), where we may install.
pub fn can_apt() -> bool {
    is_root() && which("apt-get").is_some()
}

pub fn apt_install(packages: &[&str]) -> Result<()> {
    eprintln!("installing Debian packages: {}", packages.join(", "));
    let mut update = Command::new("apt-get");
    output(update.args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    output(&mut install).map(drop)
}

/// The repository's top folder: of the checkout that cargo runs us in, which need not be the one that we were built
/// in where two share a target directory.
pub fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().unwrap_or(Path::new(".")).to_owned()
}

/// What is installed once and kept: `$USHER_CACHE`, else the user's cache folder.
pub fn cache() -> PathBuf {
    let named = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    named("USHER_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|dir| dir.join("usher")))
        .or_else(|| named("HOME").map(|dir| dir.join(".cache/usher")))
        .unwrap_or_else(|| root().join(".cache"))
}

/// FNV-1a: for names that change with what they stand for.
pub fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells us of our own package, build scripts of dependencies would take for news, and a third of all would be
    // compiled again whenever somebody calls cargo by hand in between.
    for (name, _) in env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME"
        });
        if is_ours {
            command.env_remove(name);
        }
    }
    command.current_dir(root());
    command
}

/// Where cargo builds, as it says itself.
pub fn target_dir() -> Result<PathBuf> {
    let text = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata = crate::json::parse(&text).or_fail("cargo metadata")?;
    match metadata.get("target_directory").and_then(|dir| dir.as_str()) {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => failed("cargo metadata names no target directory"),
    }
}

/// A process that is stopped by its id when this goes, whatever happened.
pub struct Running {
    pub child: Child,
    name: &'static str,
}

impl Running {
    pub fn new(name: &'static str, child: Child) -> Self {
        Self { child, name }
    }

    /// SIGTERM (or another signal), then patience, then SIGKILL.
    pub fn stop(&mut self, signal: &str, patience: Duration) -> Result<()> {
        if self.child.try_wait().or_fail(self.name)?.is_some() {
            return Ok(());
        }
        output(Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()))?;
        let began = Instant::now();
        while began.elapsed() < patience {
            if self.child.try_wait().or_fail(self.name)?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().or_fail(self.name)?;
        self.child.wait().or_fail(self.name)?;
        failed(format!("{} did not stop within {patience:?} and was killed", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(Failure::Failed(message) | Failure::Missing(message)) = self.stop("TERM", Duration::from_secs(20)) {
            eprintln!("xtask: {message}");
        }
    }
}
