//! Holes that are planted in the door to show that `cargo xtask fuzz` sees them. Only with the feature `failpoints`, which no
//! release has; without it nothing of this is compiled in. `USHER_PLANT` names the hole.

/// What a door with an error in it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    /// A route asks for nobody's role: whoever is authenticated may pause a queue.
    Role,
    /// A route answers 500 where there is no such queue.
    ServerError,
}

#[cfg(feature = "failpoints")]
pub(super) fn is_planted(hole: Hole) -> bool {
    use std::{env, sync::OnceLock};

    static PLANTED: OnceLock<Option<Hole>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| match env::var("USHER_PLANT").ok()?.as_str() {
        "role" => Some(Hole::Role),
        "500" => Some(Hole::ServerError),
        _ => None,
    });
    *planted == Some(hole)
}

#[cfg(not(feature = "failpoints"))]
#[inline]
pub(super) fn is_planted(_: Hole) -> bool {
    false
}
