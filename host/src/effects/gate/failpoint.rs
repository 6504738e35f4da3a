//! Named points of the gate where a test's host kills or freezes itself, and errors that are planted in the gate to show
//! that the campaign sees them. Only with the feature `failpoints`, which no release has; without it nothing of this is
//! compiled in.
//!
//! `USHER_FAILPOINTS` names a folder. A file there with a point's name says what happens to the next call that comes by:
//! `kill` or `stop`, and with whom (`PROVIDER/TENANT`, or a beginning of it; nothing: with any). One host takes it, by
//! renaming it, and leaves `POINT.hit`: action, process id, effect id. `USHER_PLANT` names the error to be planted.

#[cfg(feature = "failpoints")]
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

#[cfg(feature = "failpoints")]
use rustix::process::{Signal, getpid, kill_process};

use super::write::OpenCall;
use crate::ids::EffectId;

/// Where a host may be hit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Point {
    /// Nothing is in the journal yet, or not this try.
    BeforeStart,
    /// The journal says `started`, the fence was passed, and not a byte has left.
    AfterStart,
    /// The provider has answered; the journal does not know.
    AfterReply,
    /// The journal knows; the guest does not.
    AfterEnd,
}

/// What a gate with an error in it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plant {
    /// The provider's key is made from the try.
    AttemptKey,
    /// It sends whoever holds the job.
    NoFence,
    /// Doubt is settled at once, whoever may still be sending.
    EarlyDoubt,
}

/// Comes back unless the host is to die here; frozen, it comes back when somebody says CONT.
#[cfg(feature = "failpoints")]
pub(super) fn reach(point: Point, call: &OpenCall<'_>) {
    static DIR: OnceLock<Option<PathBuf>> = OnceLock::new();
    let dir = DIR.get_or_init(|| env::var_os("USHER_FAILPOINTS").map(PathBuf::from));
    if let Some(signal) = dir.as_ref().and_then(|dir| take(dir, point, call)) {
        // A failure is seen by whoever waits for what the signal does.
        let _ = kill_process(getpid(), signal);
    }
}

#[cfg(not(feature = "failpoints"))]
#[inline]
pub(super) fn reach(_: Point, _: &OpenCall<'_>) {}

/// `None`: nothing is wanted here, or not of this call, or another call took it.
#[cfg(feature = "failpoints")]
fn take(dir: &Path, point: Point, call: &OpenCall<'_>) -> Option<Signal> {
    let name = match point {
        Point::BeforeStart => "before-start",
        Point::AfterStart => "after-start",
        Point::AfterReply => "after-reply",
        Point::AfterEnd => "after-end",
    };
    let wanted = fs::read_to_string(dir.join(name)).ok()?;
    let (action, whose) = wanted.trim().split_once(' ').unwrap_or((wanted.trim(), ""));
    let signal = match action {
        "kill" => Signal::KILL,
        "stop" => Signal::STOP,
        _ => return None,
    };
    if !format!("{}/{}", call.provider, call.attempt.who.tenant).starts_with(whose) {
        return None;
    }
    let taken = dir.join(format!("{name}.taken"));
    fs::rename(dir.join(name), &taken).ok()?;
    fs::write(&taken, format!("{action} {} {}", std::process::id(), call.id)).ok()?;
    // Whole, or not there.
    fs::rename(&taken, dir.join(format!("{name}.hit"))).ok()?;
    Some(signal)
}

#[cfg(feature = "failpoints")]
pub(super) fn is_planted(plant: Plant) -> bool {
    static PLANTED: OnceLock<Option<Plant>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| match env::var("USHER_PLANT").ok()?.as_str() {
        "attempt-key" => Some(Plant::AttemptKey),
        "no-fence" => Some(Plant::NoFence),
        "early-doubt" => Some(Plant::EarlyDoubt),
        _ => None,
    });
    *planted == Some(plant)
}

#[cfg(not(feature = "failpoints"))]
#[inline]
pub(super) fn is_planted(_: Plant) -> bool {
    false
}

/// The identity that the provider is told: the effect's own.
pub(super) fn key(call: &OpenCall<'_>) -> EffectId {
    if is_planted(Plant::AttemptKey) {
        return call.attempt.job.effect(call.seq, 1_000_000 + call.try_no.unsigned_abs());
    }
    call.id
}
