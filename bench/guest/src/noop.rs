//! `bench-noop` makes one host call and ends; `bench-order` is an order whose schema has ten fields, for measuring
//! submits, and does the same.

use serde::{Deserialize, Serialize};
use usher_plugin::{Failure, Job, context};

/// Fields beyond these are the schema's business.
#[derive(Deserialize)]
pub struct Noop {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    at_ms: u64,
}

pub fn noop(_: Job<Noop>) -> Result<Done, Failure> {
    Ok(Done { at_ms: context::now_ms() })
}
