//! Releases of plugins: their bytes, their manifests, and which of them is active.
//!
//! Owns: the manifest format, the check of a manifest against the operator's policy, and the rows of releases.
//! Refuses: a second owner of a job type, a second content for a (name, version), a grant nobody gave.
//! Invariant: a release never changes; the newest activation in effect of a plugin decides which one serves.
//! Tables: releases, activations, amends, retirements, rejections, job_types, refusals, plugin_usage (and what nodes report of
//! releases in their rows).

pub mod contract;
mod judge;
pub mod manifest;
mod place;
pub mod policy;
mod schema;
pub mod signing;
pub mod store;
pub mod tracks;
pub mod typescript;
mod usage;
pub mod world;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::{
    judge::{Whose, Window},
    place::{line_at, line_of},
    usage::{Meter, Metered, Usage},
};
use crate::{config::GrantSet, ids::Digest};

/// A parsed and checked `plugin.toml`, with the schemas that it names inlined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub grants: GrantSet,
    /// Packages such as `wasi:sockets` that the toolchain imports and the plugin never calls: a call ends the attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused_imports: Vec<String>,
    pub jobs: Vec<JobType>,
}

/// One `[[job]]` of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobType {
    #[serde(rename = "type")]
    pub job_type: String,
    pub queue: String,
    /// JSON Schema 2020-12.
    pub schema: serde_json::Value,
    /// `None`: `idempotency = "none"`.
    pub idempotency: Option<Idempotency>,
    pub limits: Limits,
}

/// How a job type derives its key where the caller sends none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// A template such as `refund-{transactionId}`; `None`: the whole canonical payload.
    pub key: Option<String>,
    /// How long the key holds after the job's end.
    pub ttl: Duration,
    /// `header = "also"`: the derived key holds beside the caller's.
    pub header_also: bool,
}

/// What one attempt may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory: u64,
    /// CPU time inside the guest.
    pub cpu: Duration,
    /// From start to end, host calls included.
    pub wall: Duration,
    /// Provider calls.
    pub effects: u32,
}

/// What one instance takes from the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    pub core_instances: u32,
    pub memories: u32,
    pub tables: u32,
    /// Of all its memories at the start, in pages of 64 KiB; 0: not known.
    #[serde(default)]
    pub memory_pages: u32,
}

/// A release without its bytes.
#[derive(Clone, Debug)]
pub struct Stored {
    pub digest: Digest,
    pub manifest: Manifest,
    pub needs: Needs,
}
