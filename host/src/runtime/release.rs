use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use super::{judging::Vouchers, state::State, track_0_1::ProcessorPre};
use crate::{
    config::GrantSet,
    ids::Digest,
    releases::{JobType, Manifest, Needs},
};

/// A release that is ready to run on this node. Jobs hold it by `Arc`; a swapped-out one lives until its last job.
pub struct Release {
    pub digest: Digest,
    pub manifest: Manifest,
    /// Manifest ∩ policy.
    pub grants: Arc<GrantSet>,
    pub needs: Needs,
    pub(super) validators: BTreeMap<String, Arc<jsonschema::Validator>>,
    pub(super) pre: ProcessorPre<State>,
    /// One of its last jobs here trapped: its outcomes are counted.
    pub(super) flawed: AtomicBool,
    pub(super) vouchers: Vouchers,
}

impl Release {
    pub fn job_type(&self, name: &str) -> Option<&JobType> {
        self.manifest.jobs.iter().find(|job| job.job_type == name)
    }

    /// Whether this release's schema takes a payload that an earlier one took.
    pub fn accepts(&self, job_type: &str, payload: &str) -> bool {
        let Some(validator) = self.validators.get(job_type) else { return false };
        serde_json::from_str(payload).is_ok_and(|payload| validator.is_valid(&payload))
    }
}
