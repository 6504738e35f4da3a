//! Time and randomness that an attempt reads again as it was.
//!
//! The standard library's clock panics in a guest, and hash maps have the same seed in every instance; these are the
//! only sources of either.

use std::time::{Duration, SystemTime};

use crate::host;

/// The time as the journal has it: it stands still between effects. Before the first one it is the start of the attempt that made
/// it, afterwards the end of the last effect. So it dates things well and measures nothing.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms())
}

/// [`now`] in milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    host::now_ms()
}

/// A random number, the same for the same draw of every attempt. Not for keys or tokens.
pub fn random() -> u64 {
    host::random()
}
