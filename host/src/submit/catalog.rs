use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    idempotency::{Template, TemplateError},
    ids::Digest,
    releases::JobType,
    telemetry::Hits,
};

/// What submits must know of the job types; swapped whole when a release goes live.
#[derive(Default)]
pub struct Catalog {
    types: ArcSwap<BTreeMap<String, Arc<CatalogEntry>>>,
    looks: Hits,
}

/// A known job type.
pub struct CatalogEntry {
    pub job_type: JobType,
    pub plugin: String,
    /// The release that serves it; `None`: known, but nothing serves it now, so jobs wait.
    pub digest: Option<Digest>,
    pub validator: Arc<jsonschema::Validator>,
    /// Its plugin is being retired: it takes no submits any more, but for the children of jobs that were taken before.
    pub retiring: bool,
    /// What serves its plugin does not name it any more, and the last release that did stands here. As with `retiring`.
    pub dropped: bool,
    /// The key template, parsed; `None`: the whole payload is the key, or there is none.
    pub template: Option<Template>,
}

impl CatalogEntry {
    /// `validator` compiles the type's own schema; the room that publishes releases checked both.
    pub fn new(
        job_type: JobType,
        plugin: String,
        digest: Option<Digest>,
        validator: Arc<jsonschema::Validator>,
    ) -> Result<Self, TemplateError> {
        let template = job_type.idempotency.as_ref().and_then(|i| i.key.as_deref()).map(Template::parse).transpose()?;
        Ok(Self { job_type, plugin, digest, validator, retiring: false, dropped: false, template })
    }
}

impl Catalog {
    pub fn get(&self, job_type: &str) -> Option<Arc<CatalogEntry>> {
        let found = self.types.load().get(job_type).cloned();
        self.looks.count(found.is_some());
        found
    }

    /// How often a type's compiled schema was there, and how often there was no such type.
    pub fn looks(&self) -> &Hits {
        &self.looks
    }

    /// All, as they are at this moment.
    pub fn entries(&self) -> Arc<BTreeMap<String, Arc<CatalogEntry>>> {
        self.types.load_full()
    }

    pub fn known(&self) -> Vec<String> {
        self.types.load().keys().cloned().collect()
    }

    /// Those that what serves names.
    pub fn named(&self) -> Vec<String> {
        self.types.load().iter().filter(|(_, entry)| !entry.dropped).map(|(job_type, _)| job_type.clone()).collect()
    }

    pub fn replace(&self, types: BTreeMap<String, Arc<CatalogEntry>>) {
        self.types.store(Arc::new(types));
    }
}
