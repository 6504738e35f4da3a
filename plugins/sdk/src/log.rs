//! Lines for the operator's log. The host adds the job and the plugin to each.
//!
//! An attempt may write 256 lines and 64 KiB; after that comes one line "truncated". What is secret or personal doesn't
//! belong here. Keep the message constant and put what varies into the fields, so that lines can be searched by message.
//!
//! ```no_run
//! # use usher_plugin::log;
//! log::info("order received", &[("order.items", &3), ("order.currency", &"EUR")]);
//! ```

use std::fmt::Display;

use crate::{host::write, raw::usher::plugin::log::Level};

/// Names with values, each written by its `Display`.
pub type Fields<'a> = [(&'a str, &'a dyn Display)];

/// For whoever develops the plugin; hosts usually don't keep it.
pub fn debug(message: &str, fields: &Fields<'_>) {
    line(Level::Debug, message, fields);
}

pub fn info(message: &str, fields: &Fields<'_>) {
    line(Level::Info, message, fields);
}

/// Something is wrong, and the job goes on.
pub fn warn(message: &str, fields: &Fields<'_>) {
    line(Level::Warn, message, fields);
}

/// The last error line is quoted in the job's error when the attempt ends in a trap.
pub fn error(message: &str, fields: &Fields<'_>) {
    line(Level::Error, message, fields);
}

fn line(level: Level, message: &str, fields: &Fields<'_>) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    write(level, message, &fields);
}
