use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::{
    releases::{self, manifest},
    submit::CatalogEntry,
};

/// The job types that take submits now.
pub(super) struct Types(BTreeMap<String, CatalogEntry>);

impl Types {
    pub async fn read(db: &mut PgConnection) -> sqlx::Result<Self> {
        let mut types = BTreeMap::new();
        for plugin in releases::store::standing(db).await?.into_iter().filter(|plugin| !plugin.retiring) {
            let digest = plugin.serves.then_some(plugin.release.digest);
            for job in plugin.release.manifest.jobs {
                // Both were checked when the release was published.
                let Ok(validator) = manifest::validator(&job.schema) else { continue };
                let (name, owner) = (job.job_type.clone(), plugin.release.manifest.name.clone());
                if let Ok(entry) = CatalogEntry::new(job, owner, digest, validator.into()) {
                    types.insert(name, entry);
                }
            }
        }
        Ok(Self(types))
    }

    pub fn get(&self, job_type: &str) -> Option<&CatalogEntry> {
        self.0.get(job_type)
    }
}
