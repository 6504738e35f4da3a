//! What there is, family by family. A test holds it against the routes, each way.

mod access;
mod alerts;
mod effects;
mod events;
mod health;
mod inbound;
mod jobs;
mod keys;
mod limits;
mod plugins;
mod queues;
mod webhooks;

use super::describe::Op;

pub(super) fn all() -> Vec<Op> {
    let families = [
        jobs::all(),
        events::all(),
        queues::all(),
        effects::all(),
        limits::all(),
        plugins::all(),
        webhooks::all(),
        inbound::all(),
        alerts::all(),
        keys::all(),
        access::all(),
        health::all(),
    ];
    families.into_iter().flatten().collect()
}
