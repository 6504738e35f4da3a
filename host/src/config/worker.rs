use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// Jobs in flight on this node. 0 makes a node that only takes submits.
    pub concurrency: u32,
    /// Most jobs of one claim.
    pub claim_batch: u32,
}

impl Default for Worker {
    fn default() -> Self {
        Self { concurrency: 1_500, claim_batch: 512 }
    }
}
