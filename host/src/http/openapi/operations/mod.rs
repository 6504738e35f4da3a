//! What there is, family by family. A test holds it against the routes, each way.

mod effects;
mod health;
mod jobs;
mod limits;
mod plugins;
mod queues;
mod webhooks;

use super::describe::Op;

pub(super) fn all() -> Vec<Op> {
    let families =
        [jobs::all(), queues::all(), effects::all(), limits::all(), plugins::all(), webhooks::all(), health::all()];
    families.into_iter().flatten().collect()
}
