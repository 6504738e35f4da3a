//! Bars on a terminal for what takes long; nothing anywhere else. They are on stderr, and go when the work is done.

use std::{pin::pin, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Does the work under a bar. `done`: how much of `of` it has done by now.
pub(super) async fn bar<T>(what: &str, of: u64, done: impl Fn() -> u64, work: impl Future<Output = T>) -> T {
    let bar = ProgressBar::new(of).with_message(what.to_owned());
    // A constant, which the test reads.
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    let mut work = pin!(work);
    loop {
        tokio::select! {
            // The work's own end before a look at it.
            biased;
            end = &mut work => {
                bar.finish_and_clear();
                return end;
            }
            () = tokio::time::sleep(TICK) => bar.set_position(done()),
        }
    }
}

const BAR: &str = "{msg} {wide_bar} {pos}/{len} {eta}";

/// The same where nobody knows how much it is.
pub(super) async fn spinner<T>(what: &str, work: impl Future<Output = T>) -> T {
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    bar.enable_steady_tick(TICK);
    let end = work.await;
    bar.finish_and_clear();
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_one() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
