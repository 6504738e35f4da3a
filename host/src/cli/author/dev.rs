use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use clap::Args;

use super::{build, usage};
use crate::cli::{Failure, complain};

/// Build a project whenever it changes, and swap the result into a host that runs with --dev.
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

impl Dev {
    pub fn run(self) -> Result<(), Failure> {
        if !self.into.is_dir() {
            return Err(usage(
                &self.into,
                "there is no such folder: start a host by `usher serve --dev`, and say its plugins folder by --into",
            ));
        }
        let mut built = None;
        loop {
            let now = settled(&self.dir);
            if built.as_ref() != Some(&now) {
                match (self.swap(), self.once) {
                    (done, true) => return done,
                    (Ok(()), false) => {}
                    // The release that serves goes on serving, and the author mends what they broke.
                    (Err(Failure::Usage(message)), false) => complain(&message),
                    (Err(Failure::Failed(error)), false) => complain(&format!("{error:#}")),
                }
                built = Some(now);
            }
            thread::sleep(LOOK);
        }
    }

    /// Written beside and renamed: the host never sees half a file.
    fn swap(&self) -> Result<(), Failure> {
        let built = build::build(&self.dir, None, build::Version::OfContent)?;
        let beside = self.into.join(format!(".{}.wasm.new", built.name));
        let file = self.into.join(format!("{}.wasm", built.name));
        fs::write(&beside, &built.component)
            .and_then(|()| fs::rename(&beside, &file))
            .map_err(|e| usage(&file, format!("cannot be written: {e}")))?;
        println!("{} is in {}; the host says in its log whether it serves", built.name, self.into.display());
        Ok(())
    }
}

type Marks = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

fn settled(dir: &Path) -> Marks {
    let mut before = marks(dir);
    loop {
        thread::sleep(LOOK);
        let now = marks(dir);
        if now == before {
            return now;
        }
        before = now;
    }
}

/// Of all that a build reads: not what it writes, nor what begins with a dot.
fn marks(dir: &Path) -> Marks {
    let mut found = Marks::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let skipped =
                name.as_encoded_bytes().starts_with(b".") || (folder == dir && (name == "target" || name == "cases"));
            match entry.metadata() {
                Ok(meta) if meta.is_dir() && !skipped => folders.push(path),
                // Cargo writes its lock file while it builds.
                Ok(meta) if meta.is_file() && !skipped && name != "Cargo.lock" => {
                    found.insert(path, (meta.len(), meta.modified().ok()));
                }
                _ => {}
            }
        }
    }
    found
}
