use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;

use crate::{ids::{Digest, Tier}, releases::JobType};

/// What submits must know of the job types; swapped whole when a release goes live.
#[derive(Default)]
pub struct Catalog {
    types: ArcSwap<BTreeMap<String, Arc<CatalogEntry>>>,
}

/// A known job type.
pub struct CatalogEntry {
    pub job_type: JobType,
    pub plugin: String,
    pub tier: Tier,
    /// The release that serves it; `None`: known, but nothing serves it now, so jobs wait.
    pub digest: Option<Digest>,
    pub validator: jsonschema::Validator,
}

impl Catalog {
    pub fn get(&self, job_type: &str) -> Option<Arc<CatalogEntry>> {
        self.types.load().get(job_type).cloned()
    }

    pub fn known(&self) -> Vec<String> {
        self.types.load().keys().cloned().collect()
    }

    pub fn replace(&self, types: BTreeMap<String, Arc<CatalogEntry>>) {
        self.types.store(Arc::new(types));
    }
}
