//! Under --dev: what guests say, and whether their releases are taken, in a file beside the plugins, for `usher plugin dev`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Mutex,
};

use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
};

/// Its longest, in bytes; then it begins anew.
const MOST: u64 = 4 << 20;

struct Bounded {
    file: File,
    length: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length > MOST {
            // It is open to append: what comes next is its first line.
            self.file.set_len(0)?;
            self.length = 0;
        }
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// One JSON object a line, whatever the filter of the log is.
pub(super) fn layer(path: &Path) -> Result<Box<dyn Layer<Registry> + Send + Sync>, String> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = file.map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    let length = file.metadata().map_or(0, |meta| meta.len());
    let lines = tracing_subscriber::fmt::layer().json().with_writer(Mutex::new(Bounded { file, length }));
    let wanted = Targets::new()
        .with_target(concat!(env!("CARGO_CRATE_NAME"), "::runtime::guest_log"), LevelFilter::DEBUG)
        .with_target(concat!(env!("CARGO_CRATE_NAME"), "::runtime::publish"), LevelFilter::INFO);
    Ok(Box::new(lines.with_filter(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_stays_short() {
        let path = std::env::temp_dir().join(format!("usher-guests-{}", uuid::Uuid::new_v4()));
        let file = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
        let mut file = Bounded { file, length: 0 };
        for _ in 0..5 {
            file.write_all(&vec![b'x'; 1 << 20]).expect("written");
        }
        assert_eq!(std::fs::metadata(&path).expect("it is there").len(), 5 << 20);
        file.write_all(b"again\n").expect("written");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"again\n");
        std::fs::remove_file(path).expect("removed");
    }
}
