//! Under --dev: what guests say, and whether their releases are taken, in a file beside the plugins, for `usher plugin dev`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Mutex,
};

use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

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

/// What the filter of the log lets through in any case.
pub(super) const ALWAYS: [&str; 2] = [
    concat!(env!("CARGO_CRATE_NAME"), "::runtime::guest_log=debug"),
    concat!(env!("CARGO_CRATE_NAME"), "::runtime::publish=info"),
];

/// One JSON object a line.
pub(super) fn layer<S>(path: &Path) -> Result<impl Layer<S>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = file.map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    let length = file.metadata().map_or(0, |meta| meta.len());
    let lines = tracing_subscriber::fmt::layer().json().with_current_span(false).with_span_list(false);
    Ok(Guests(lines.with_writer(Mutex::new(Bounded { file, length }))))
}

/// No filter of a layer's own: what one of two such filters refuses unsaid (sqlx asks before it speaks) is remembered by the
/// thread and taken from the next event.
struct Guests<L>(L);

impl<S: Subscriber, L: Layer<S>> Layer<S> for Guests<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let target = event.metadata().target();
        if ALWAYS.iter().any(|always| always.split('=').next() == Some(target)) {
            self.0.on_event(event, context);
        }
    }
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
