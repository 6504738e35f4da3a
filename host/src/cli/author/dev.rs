use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use clap::Args;

use super::{
    build::{self, Built},
    follow::{Follow, shown},
    usage,
};
use crate::{
    cli::{Failure, complain},
    runtime::pack,
    telemetry,
};

/// Build a project whenever it changes, swap the result into a host that runs with --dev, and show what the plugin says there.
#[derive(Debug, Args)]
pub(in crate::cli) struct Dev {
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The folder that the host watches
    #[arg(long, default_value = ".usher/plugins")]
    into: PathBuf,
    /// Build and swap once, and end.
    #[arg(long)]
    once: bool,
}

/// How often it looks; a change is built once nothing has changed for as long.
const LOOK: Duration = Duration::from_millis(300);

/// The job types of the plugin, as its manifest named them last.
type JobTypes = Arc<Mutex<BTreeSet<String>>>;

impl Dev {
    pub fn run(self) -> Result<(), Failure> {
        let into = watched(&self.into)?;
        let job_types = self.job_types();
        if !self.once {
            listen(Follow::from_now(into.join(telemetry::GUESTS)), Arc::clone(&job_types));
        }
        let mut built = None;
        loop {
            let now = settled(&self.dir, &into);
            if built.as_ref() != Some(&now) {
                match (self.swap(&job_types), self.once) {
                    (done, true) => return done,
                    (Ok(()), false) => {}
                    // The release that serves goes on serving, and the author mends what they broke.
                    (Err(failure), false) => complain(&failure.message()),
                }
                built = Some(now);
            }
            thread::sleep(LOOK);
        }
    }

    /// Those of a host that took a build before.
    fn job_types(&self) -> JobTypes {
        let source = pack::Source::read(&self.dir.join("plugin.toml"));
        let jobs = source.map(|source| source.manifest.jobs).unwrap_or_default();
        Arc::new(Mutex::new(jobs.into_iter().map(|job| job.job_type).collect()))
    }

    fn swap(&self, job_types: &JobTypes) -> Result<(), Failure> {
        let built = swap(&self.dir, &self.into)?;
        *job_types.lock().unwrap_or_else(PoisonError::into_inner) = built.job_types.into_iter().collect();
        println!("{} is in {}; the host says in its log whether it serves", built.name, self.into.display());
        Ok(())
    }
}

/// A folder that a host with --dev looks into, as it is.
pub(super) fn watched(into: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(into).map_err(|_| {
        usage(
            into,
            "there is no such folder: start a host by `usher serve --dev`, and say its plugins folder by --into",
        )
    })
}

/// Builds, and puts the result there under a version of its own. Written beside and renamed: the host never sees half a file.
pub(super) fn swap(dir: &Path, into: &Path) -> Result<Built, Failure> {
    let built = build::build(dir, None, build::Version::OfContent)?;
    let beside = into.join(format!(".{}.wasm.new", built.name));
    let file = into.join(format!("{}.wasm", built.name));
    fs::write(&beside, &built.component)
        .and_then(|()| fs::rename(&beside, &file))
        .map_err(|e| usage(&file, format!("cannot be written: {e}")))?;
    Ok(built)
}

/// Shows what comes, also while a build is under way.
fn listen(mut follow: Follow, job_types: JobTypes) {
    thread::spawn(move || {
        loop {
            for line in follow.lines() {
                let shown = shown(&line, &job_types.lock().unwrap_or_else(PoisonError::into_inner));
                if let Some(shown) = shown {
                    println!("{shown}");
                }
            }
            thread::sleep(LOOK);
        }
    });
}

type Marks = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

fn settled(dir: &Path, into: &Path) -> Marks {
    let mut before = marks(dir, into);
    loop {
        thread::sleep(LOOK);
        let now = marks(dir, into);
        if now == before {
            return now;
        }
        before = now;
    }
}

/// What toolchains bring or leave, wherever it lies.
const NOT_SOURCES: [&str; 2] = ["node_modules", "__pycache__"];

/// Of all that a build reads, also where a link leads to it: not what it writes, nor what begins with a dot.
fn marks(dir: &Path, into: &Path) -> Marks {
    let mut found = Marks::new();
    let mut folders = vec![dir.to_owned()];
    // Each once, however many links lead to it. What we write ourselves is no change.
    let mut seen = BTreeSet::from([into.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        if !fs::canonicalize(&folder).is_ok_and(|place| seen.insert(place)) {
            continue;
        }
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_written = folder == dir && (name == "target" || name == "cases");
            if name.as_encoded_bytes().starts_with(b".") || is_written || NOT_SOURCES.iter().any(|other| name == *other)
            {
                continue;
            }
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => folders.push(path),
                // Cargo writes its lock file while it builds.
                Ok(meta) if meta.is_file() && name != "Cargo.lock" => {
                    found.insert(path, (meta.len(), meta.modified().ok()));
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_leads_to_is_watched_and_what_we_write_is_not() {
        let root = std::env::temp_dir().join(format!("usher-dev-{}", uuid::Uuid::new_v4()));
        let (dir, into, shared) = (root.join("my plugin"), root.join("my plugin/out"), root.join("shared"));
        for folder in [&dir.join("src"), &into, &shared, &dir.join("target"), &dir.join("node_modules/x")] {
            fs::create_dir_all(folder).expect("a folder");
        }
        for file in ["src/lib.rs", "out/a.wasm", "target/x", "node_modules/x/index.js", ".hidden", "Cargo.lock"] {
            fs::write(dir.join(file), "").expect("a file");
        }
        fs::write(shared.join("sdk.ts"), "").expect("a file");
        std::os::unix::fs::symlink(&shared, dir.join("sdk")).expect("a link");
        // One that leads in a circle.
        std::os::unix::fs::symlink(&dir, dir.join("src/again")).expect("a link");
        let into = fs::canonicalize(into).expect("it is there");
        let found: Vec<_> = marks(&dir, &into).into_keys().collect();
        assert_eq!(found, [dir.join("sdk/sdk.ts"), dir.join("src/lib.rs")]);
        fs::remove_dir_all(root).expect("removed");
    }
}
