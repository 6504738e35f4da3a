use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// What single tenants get beyond the ordinary; most are not named here.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenants(pub BTreeMap<String, Tenant>);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Its share of a queue that several tenants fill: 3 gets three jobs for each one of a tenant of weight 1.
    pub weight: u32,
}

impl Tenants {
    pub fn weights(&self) -> HashMap<String, u32> {
        self.0.iter().map(|(name, tenant)| (name.clone(), tenant.weight)).collect()
    }
}
