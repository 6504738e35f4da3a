use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use super::RuntimeError;
use crate::{db::embedded::cache_dir, ids::Digest, telemetry::Hits};

/// What no host has used for so long is removed. Whoever wants it after all compiles it again.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Compiled components on disk. Native code: whoever can write here owns this host, so the folder is private.
pub(super) struct Artifacts {
    dir: PathBuf,
    /// Of wasmtime's version and settings; another engine gets other files.
    engine_hash: u64,
    looks: Hits,
}

/// What lies on disk, and of what use it was since this host began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArtifactStats {
    pub hits: u64,
    pub misses: u64,
    pub files: usize,
    pub bytes: u64,
}

impl Artifacts {
    pub fn open(dir: Option<PathBuf>, engine: &Engine) -> Result<Self, RuntimeError> {
        let dir = dir.unwrap_or_else(|| cache_dir().join("artifacts"));
        make_private(&dir).map_err(|source| RuntimeError::Cache { dir: dir.clone(), source })?;
        // DefaultHasher::new() has fixed keys: the same on every start of this binary.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir, engine_hash: hasher.finish(), looks: Hits::default() })
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}-{:016x}.cwasm", hex::encode(digest.as_bytes()), self.engine_hash))
    }

    /// `None`: not there, or not whole; it is compiled again.
    pub fn load(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let found = self.read(engine, digest);
        self.looks.count(found.is_some());
        found
    }

    fn read(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let path = self.path(digest);
        let file = fs::read(&path).ok()?;
        is_used(&path);
        let (sum, artifact) = file.split_at_checked(32)?;
        if Sha256::digest(artifact).as_slice() != sum {
            tracing::warn!(plugin.digest = %digest, "a compiled component is damaged; it is compiled again");
            return None;
        }
        Self::deserialize(engine, artifact).ok()
    }

    pub fn looks(&self) -> &Hits {
        &self.looks
    }

    /// Files of ours, and how long they are together.
    pub fn size(&self) -> io::Result<(usize, u64)> {
        let (mut files, mut bytes) = (0, 0);
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            // Another host may have removed it.
            let Ok(found) = entry.metadata() else { continue };
            if found.is_file() && entry.file_name().to_str().is_some_and(is_ours) {
                files += 1;
                bytes += found.len();
            }
        }
        Ok((files, bytes))
    }

    /// Only for what our own child made a moment ago, or what lies in our private cache.
    #[expect(
        unsafe_code,
        reason = "native code of our own making: from our child's pipe, or from a folder only we can write"
    )]
    pub fn deserialize(engine: &Engine, artifact: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are the unchanged output of `Engine::precompile_component` of this very binary: they come
        // straight from our child, or from the 0700 folder that `make_private` checked, with a matching sum.
        unsafe { Component::deserialize(engine, artifact) }
    }

    /// Written beside, then renamed: a reader sees a whole file or none.
    pub fn store(&self, digest: Digest, artifact: &[u8]) -> io::Result<()> {
        let beside = self.dir.join(format!(".{}.{}", std::process::id(), uuid::Uuid::new_v4()));
        let write = || {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            io::Write::write_all(&mut file, &Sha256::digest(artifact))?;
            io::Write::write_all(&mut file, artifact)?;
            fs::rename(&beside, self.path(digest))
        };
        write().inspect_err(|_| drop(fs::remove_file(&beside)))
    }

    /// Removes what was used for the last time long ago, by this engine or another one, and what a host that was killed left half
    /// written; returns how many. `ready`: what this host may want at its next start. Hosts that share the folder each say so,
    /// and nobody has a file of it open or mapped: it is read whole.
    pub fn prune(&self, ready: &[Digest]) -> io::Result<usize> {
        for digest in ready {
            is_used(&self.path(*digest));
        }
        let now = SystemTime::now();
        let mut removed = 0;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            // Another host may have been faster.
            let Ok(found) = entry.metadata() else { continue };
            let age = found.modified().ok().and_then(|at| now.duration_since(at).ok()).unwrap_or_default();
            let is_old = found.is_file() && age > KEPT;
            if is_old && entry.file_name().to_str().is_some_and(is_ours) && fs::remove_file(entry.path()).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Its time says when it was used last. It is no harm if that cannot be written: a file that goes too early is made again.
fn is_used(path: &Path) {
    let _ = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Nothing else in the folder is touched.
fn is_ours(name: &str) -> bool {
    let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.strip_suffix(".cwasm") {
        Some(stem) => stem.split_once('-').is_some_and(|(digest, engine)| is_hex(digest, 64) && is_hex(engine, 16)),
        // Half written, under the name that `store` gives.
        None => name
            .strip_prefix('.')
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(process, rest)| process.parse::<u32>().is_ok() && uuid::Uuid::parse_str(rest).is_ok()),
    }
}

/// Made 0700, and refused if others could write there or it is not ours.
fn make_private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let found = fs::metadata(dir)?;
    if found.uid() != rustix::process::geteuid().as_raw() || found.permissions().mode() & 0o022 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others own it or can write to it"));
    }
    Ok(())
}
