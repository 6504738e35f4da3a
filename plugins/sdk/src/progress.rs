//! How far an attempt is, for whoever watches.

use crate::host;

/// `percent` of 100, with a word on what is being done. Shown while the job runs, lossy, and gone afterwards.
pub fn report(percent: u8, note: &str) {
    host::report(percent.min(100), note);
}
