use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    postgres::Server,
    setup::Tools,
    sh::{self, OrFail, Result},
};

fn committed() -> PathBuf {
    sh::root().join("host/.sqlx")
}

/// Rewrites `host/.sqlx` from a real server with our migrations.
pub fn refresh(tools: &Tools) -> Result<()> {
    let server = Server::start(&tools.postgres.dir)?;
    migrate(tools, &server)?;
    let dir = scratch()?;
    // The same packages as the lints, so that dependencies are checked once.
    sh::run(&mut online(sh::cargo().args(["check", "--quiet", "--workspace", "--all-targets"]), &server, &dir)?)?;
    let _ = fs::remove_dir_all(committed());
    fs::create_dir_all(committed()).or_fail("make host/.sqlx")?;
    let fresh = read(&dir)?;
    for (name, text) in &fresh {
        fs::write(committed().join(name), text).or_fail(name)?;
    }
    println!("{} queries in host/.sqlx", fresh.len());
    Ok(())
}

/// Keeps the statements of this version for `tests/compat.rs`: every later schema must serve them. Named after the newest
/// migration; what is kept is never changed.
pub fn freeze() -> Result<()> {
    let newest = migrations()?.pop();
    let newest = newest.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let Some((number, _)) = newest.as_deref().and_then(|name| name.split_once('_')) else {
        return sh::failed("there is no migration");
    };
    let texts: Vec<_> = read(&committed())?.into_values().collect();
    let all = format!("[\n{}\n]\n", texts.iter().map(|text| text.trim()).collect::<Vec<_>>().join(",\n"));
    let file = sh::root().join(format!("tests/compat/schema-{number}.json"));
    match fs::read_to_string(&file) {
        Ok(kept) if kept != all => sh::failed(format!(
            "{} is there with other statements: if that version was never released, remove it first",
            file.display()
        )),
        Ok(_) => Ok(()),
        Err(_) => fs::write(&file, all).or_fail(file.display()),
    }
}

/// Runs a cargo command whose macros ask the server, and compares what they learn with what is committed.
pub fn checked(tools: &Tools, server: &Server, command: &mut Command) -> Result<()> {
    migrate(tools, server)?;
    let dir = scratch()?;
    sh::run(&mut online(command, server, &dir)?)?;
    if read(&dir)? == read(&committed())? {
        return Ok(());
    }
    sh::failed("host/.sqlx is not what the queries and migrations say: run `cargo xtask sqlx` and commit it")
}

fn online(command: &mut Command, server: &Server, dir: &Path) -> Result<Command> {
    // The macros run only when the crate is compiled.
    let lib = sh::root().join("host/src/lib.rs");
    sh::run(Command::new("touch").arg(lib))?;
    let mut online = Command::new(command.get_program());
    online
        .args(command.get_args())
        .current_dir(sh::root())
        .env("DATABASE_URL", server.url())
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", dir);
    Ok(online)
}

/// psql, and not `usher migrate`: the host may not compile before this has run.
fn migrate(tools: &Tools, server: &Server) -> Result<()> {
    let psql = Some(tools.postgres.dir.join("psql")).filter(|path| path.is_file()).or_else(|| sh::which("psql"));
    let Some(psql) = psql else { return sh::failed("there is no psql beside the server or on PATH") };
    for file in migrations()? {
        sh::output(
            Command::new(&psql)
                .args(["--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-1", "-f"])
                .arg(file)
                .arg(server.url()),
        )?;
    }
    Ok(())
}

/// In their order.
fn migrations() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(sh::root().join("migrations")).or_fail("read migrations")?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

fn scratch() -> Result<PathBuf> {
    let dir = sh::target_dir()?.join("sqlx-fresh");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).or_fail("make a scratch folder")?;
    Ok(dir)
}

fn read(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).or_fail(dir.display())?.flatten() {
        let text = fs::read_to_string(entry.path()).or_fail(entry.path().display())?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), text);
    }
    Ok(files)
}
