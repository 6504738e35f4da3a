use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    guests,
    setup::Tools,
    sh::{self, OrFail, Result},
};

/// Of the world; the module of Python is `order_plugin`, since it must not be called like its world.
const NAME: &str = "order";

/// Type checks, and turns into JavaScript.
const TSCONFIG: &str = r#"{
  "compilerOptions": {
    "target": "es2023", "lib": ["es2023"], "types": [], "module": "es2022", "moduleResolution": "bundler",
    "strict": true, "noUncheckedIndexedAccess": true, "noImplicitReturns": true, "outDir": "js"
  },
  "include": ["**/*.ts"]
}"#;

/// Plugins in TypeScript and Python, by a folder's `languages.list`. Those toolchains are slow, so what they made is kept until
/// something that went into it changes.
pub fn build(tools: &Tools, usher: &Path, folder: &Path, into: &Path) -> Result<()> {
    let list = folder.join("languages.list");
    let text = fs::read_to_string(&list).or_fail(list.display())?;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [language, sources, wit, manifest, out] = fields.as_slice() else {
            return sh::failed(format!("{}: not five fields: {line}", list.display()));
        };
        let scratch = sh::target_dir()?.join("languages").join(out);
        let component = scratch.join("component.wasm");
        let stamp = scratch.join("made-of");
        fs::create_dir_all(&scratch).or_fail("make the folder of a plugin")?;
        // All that it is made of, in one place.
        let (code, world) = (scratch.join("code"), scratch.join("wit"));
        fresh(&code, &folder.join(sources))?;
        fresh(&world, &folder.join(wit))?;
        copy(&sh::root().join("wit"), &world.join("deps/usher"))?;
        let made_of = format!(
            "{:016x} {} {}",
            hash(&[&code, &world])?,
            tools.node.toolchain.display(),
            tools.componentize.dir.display()
        );
        if !component.is_file() || fs::read_to_string(&stamp).ok().as_ref() != Some(&made_of) {
            match *language {
                "ts" => typescript(&tools.node.toolchain, &code, &world, &component)?,
                "py" => python(&tools.componentize.dir, &code, &world, &component)?,
                other => return sh::failed(format!("{}: no such language: {other}", list.display())),
            }
            fs::write(&stamp, made_of).or_fail("write the stamp")?;
        }
        let what = ["--component".as_ref(), component.as_os_str()];
        guests::pack(usher, &folder.join(manifest), what, &into.join(out))?;
    }
    Ok(())
}

fn typescript(toolchain: &Path, code: &Path, wit: &Path, out: &Path) -> Result<()> {
    let program = |name: &str| Command::new(toolchain.join("node_modules/.bin").join(name));
    fs::write(code.join("tsconfig.json"), TSCONFIG).or_fail("write tsconfig.json")?;
    sh::output(program("tsc").arg("-p").arg(code))?;
    let js = code.join("js");
    let mut componentize = program("componentize-qjs");
    // Without --sync it makes a component of the async model; with --stub-wasi the clock traps.
    componentize.args(["--sync", "--opt-size", "--world", NAME]).arg("--wit").arg(wit);
    componentize.arg("--module-root").arg(&js).arg("--js").arg(js.join(format!("{NAME}.js"))).arg("-o").arg(out);
    sh::output(&mut componentize).map(drop)
}

fn python(environment: &Path, code: &Path, wit: &Path, out: &Path) -> Result<()> {
    let mut componentize = Command::new(environment.join("bin/componentize-py"));
    componentize.arg("-d").arg(wit).args(["-w", NAME, "componentize", "-p"]).arg(code).arg(format!("{NAME}_plugin"));
    sh::output(componentize.arg("-o").arg(out)).map(drop)
}

fn fresh(to: &Path, from: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).or_fail("remove an old copy")?;
    }
    copy(from, to)
}

/// A folder, what its links lead to included.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).or_fail(to.display())?;
    for name in entries(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).or_fail(from.display())?;
        }
    }
    Ok(())
}

fn hash(folders: &[&Path]) -> Result<u64> {
    let mut all = Vec::new();
    for folder in folders {
        read(folder, &mut all)?;
    }
    Ok(sh::fnv(all.into_iter()))
}

fn read(folder: &Path, all: &mut Vec<u8>) -> Result<()> {
    for name in entries(folder)? {
        let path = folder.join(&name);
        all.extend(name.as_os_str().as_encoded_bytes());
        if path.is_dir() {
            read(&path, all)?;
        } else {
            all.extend(fs::read(&path).or_fail(path.display())?);
        }
    }
    Ok(())
}

/// Names in a folder, in order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).or_fail(folder.display())?;
    let mut names = entries
        .map(|entry| entry.map(|entry| PathBuf::from(entry.file_name())))
        .collect::<std::io::Result<Vec<_>>>()
        .or_fail(folder.display())?;
    names.sort();
    Ok(names)
}
