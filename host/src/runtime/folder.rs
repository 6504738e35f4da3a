use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use wasmtime_wasi_io::bytes::Bytes;

use super::{
    Offer, PublishError, Registry,
    compile::{CompileError, MAX_COMPONENT},
};
use crate::{db::Pool, lifecycle::Lifecycle, releases};

const EVERY: Duration = Duration::from_millis(250);

/// What tells that a file is another one. A rename beside makes a new inode, so equal sizes within one tick of the
/// clock are told apart too.
type Mark = (u64, SystemTime, u64);

/// Under `--dev`: publishes the `.wasm` files of a folder as they appear. Ship by writing beside and renaming; a file
/// that is being written is refused as damaged and tried again when it changes.
pub struct Folder {
    dir: PathBuf,
    registry: Arc<Registry>,
    pool: Pool,
    seen: tokio::sync::Mutex<BTreeMap<PathBuf, Mark>>,
}

impl Folder {
    pub fn new(dir: PathBuf, registry: Arc<Registry>, pool: Pool) -> Self {
        Self { dir, registry, pool, seen: tokio::sync::Mutex::default() }
    }

    pub async fn run(self, lifecycle: Lifecycle) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => self.scan().await,
                () = lifecycle.stopping() => return,
            }
        }
    }

    async fn refuse_unread(&self, path: &Path, size: u64) {
        let error = PublishError::Compile(CompileError::TooLarge { size: usize::try_from(size).unwrap_or(usize::MAX) });
        let (slug, told) = (error.slug(), error.told());
        tracing::warn!(file = %path.display(), reason = slug, error = told, "a component was refused");
        let noted = async {
            let mut db = self.pool.write().await?;
            releases::store::refuse(&mut db, &source(path), None, None, slug, &told).await?;
            db.done().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = %error, "a refusal could not be noted");
        }
    }

    /// One look: new and changed files in the order of their names, then those that are gone.
    pub async fn scan(&self) {
        let files = match list(&self.dir) {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(error = %error, dir = %self.dir.display(), "the plugins folder cannot be read");
                return;
            }
        };
        let mut seen = self.seen.lock().await;
        for (path, mark) in &files {
            if seen.get(path) == Some(mark) {
                continue;
            }
            if mark.0 > MAX_COMPONENT as u64 {
                self.refuse_unread(path, mark.0).await;
                seen.insert(path.clone(), *mark);
                continue;
            }
            let passing = match fs::read(path) {
                Ok(bytes) if bytes.len() <= MAX_COMPONENT + 1 => {
                    let bytes = Bytes::from(bytes);
                    // Beside it, and there before it: FILE.wasm.sig.
                    let mut beside = path.clone().into_os_string();
                    beside.push(".sig");
                    let signature = fs::read_to_string(beside).ok();
                    let signature = signature.as_deref();
                    let offer =
                        Offer { bytes: &bytes, signature, activate: true, unverified: false, by: "plugins folder" };
                    let published = self.registry.publish_from(&self.pool, offer, &source(path)).await;
                    published.is_err_and(|error| error.is_passing())
                }
                Ok(_) => false,
                Err(error) => {
                    tracing::warn!(error = %error, file = %path.display(), "a plugin file cannot be read");
                    true
                }
            };
            // A refused file is not tried again until it changes.
            if !passing {
                seen.insert(path.clone(), *mark);
            }
        }
        let gone: Vec<_> = seen.keys().filter(|path| !files.contains_key(*path)).cloned().collect();
        for path in gone {
            seen.remove(&path);
            let cleared = async {
                let mut db = self.pool.write().await?;
                releases::store::clear_refusal(&mut db, &source(&path)).await?;
                db.done().await
            };
            if let Err(error) = cleared.await {
                tracing::warn!(error = %error, "a refusal could not be cleared");
            }
        }
    }
}

fn source(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn list(dir: &Path) -> io::Result<BTreeMap<PathBuf, Mark>> {
    use std::os::unix::fs::MetadataExt;
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension() != Some(OsStr::new("wasm")) {
            continue;
        }
        // It may be gone again already.
        if let Ok(meta) = fs::metadata(&path)
            && meta.is_file()
        {
            files.insert(path, (meta.len(), meta.modified()?, meta.ino()));
        }
    }
    Ok(files)
}
