//! `bench-effect` makes one call after another to the upstream `peer`, each a write under a key of its own.

use serde::{Deserialize, Serialize};
use usher_plugin::{Failure, Job, upstream::Request};

#[derive(Deserialize)]
pub struct Calls {
    calls: u32,
}

/// What a charge looks like from afar; `host/benches/effect.rs` sends the same.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Charge {
    order_id: String,
    amount: u64,
    currency: &'static str,
}

pub fn effect(job: Job<Calls>) -> Result<u32, Failure> {
    for n in 0..job.payload.calls {
        let charge = Charge { order_id: format!("{}-{n:04}", job.id), amount: 12_900, currency: "eur" };
        let answer = Request::post("peer", "/charges").json(&charge)?.call()?;
        if !answer.ok() {
            return Err(Failure::permanent(format_args!("the peer answered {}", answer.status)));
        }
    }
    Ok(job.payload.calls)
}
