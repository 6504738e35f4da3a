use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    python::Python,
    sh::{self, Failure, OrFail, Result},
};

/// Ships the program of Metaplex Token Metadata, as it runs on the chain, among its tests.
const SHIPS_METAPLEX: (&str, &str) = ("spl-stake-pool", "2.2.0");
const METAPLEX_IN_IT: &str = "tests/fixtures/mpl_token_metadata.so";
const METAPLEX_SHA256: &str = "31f0a627dba051a938de650464e55cc5397a4be0fd496929c1f9cf02fe5e9011";

/// Solana as the tests meet it: LiteSVM in the Python environment, the program that it is given, and in `node_modules` the
/// libraries that wallets read tokens with.
pub struct Solana {
    pub dir: PathBuf,
}

impl Solana {
    pub fn metaplex(&self) -> PathBuf {
        self.dir.join("mpl_token_metadata.so")
    }
}

pub fn setup(check_only: bool, python: &Python) -> Result<Solana> {
    let peers = sh::root().join("tests/peers/solana");
    let read = |name: &str| fs::read_to_string(peers.join(name)).or_fail(name);
    let (package, lock) = (read("package.json")?, read("package-lock.json")?);
    // FNV-1a: a name that changes with what is pinned.
    let pins = [lock.as_str(), SHIPS_METAPLEX.1, METAPLEX_SHA256].concat();
    let hash = pins.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let solana = Solana { dir: sh::cache().join(format!("solana-{:08x}", hash >> 32)) };
    let stamp = solana.dir.join("installed");
    if stamp.is_file() {
        return Ok(solana);
    }
    if check_only {
        return Err(Failure::Missing("the Solana peers are not set up: cargo xtask setup".to_owned()));
    }
    println!("installing the Solana peers: the packages of tests/peers/solana, the program of Metaplex");
    if solana.dir.exists() {
        fs::remove_dir_all(&solana.dir).or_fail("remove half-made Solana peers")?;
    }
    fs::create_dir_all(&solana.dir).or_fail("make the folder of the Solana peers")?;
    fs::write(solana.dir.join("package.json"), package).or_fail("write package.json")?;
    fs::write(solana.dir.join("package-lock.json"), lock).or_fail("write package-lock.json")?;
    install(&solana, python).map_err(|why| match why {
        Failure::Failed(why) => Failure::Missing(format!(
            "the Solana peers cannot be installed: this needs the package registries of npm and of Rust\n{why}"
        )),
        missing => missing,
    })?;
    fs::write(stamp, "").or_fail("write the stamp")?;
    Ok(solana)
}

fn install(solana: &Solana, python: &Python) -> Result<()> {
    let mut npm = Command::new("npm");
    sh::output(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&solana.dir))?;
    let (name, version) = SHIPS_METAPLEX;
    // Cargo unpacks a crate to show what it says of itself; what it depends on is not fetched.
    sh::output(sh::cargo().args(["info", "--quiet", &format!("{name}@{version}")]))?;
    let Some(program) = unpacked(&format!("{name}-{version}")).map(|dir| dir.join(METAPLEX_IN_IT)) else {
        return sh::failed(format!("cargo has unpacked no {name} {version}"));
    };
    let mut sum = Command::new(python.executable());
    sum.args(["-c", "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"]);
    let found = sh::output(sum.arg(&program))?;
    if found != METAPLEX_SHA256 {
        return sh::failed(format!("{} has the sha256 {found}, not {METAPLEX_SHA256}", program.display()));
    }
    fs::copy(&program, solana.metaplex()).or_fail(program.display()).map(drop)
}

/// A crate's folder among those that cargo keeps, whichever registry it came from.
fn unpacked(name: &str) -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))?;
    let registries = fs::read_dir(home.join("registry/src")).ok()?.flatten();
    registries.map(|registry| registry.path().join(name)).find(|dir| dir.is_dir())
}
