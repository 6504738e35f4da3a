use std::sync::Arc;

use super::{Report, Shelf, Verifier};
use crate::{
    db::Pool,
    releases,
    runtime::{PublishError, Registry, Release, stage::Stage},
};

impl Registry {
    /// The policy `plugins.require_verify`, before a release is stored or serves for the first time. `None`: there is no such
    /// policy, or it has passed or served before, so that a way back asks nothing. `unverified`: it is taken whatever
    /// recorded jobs do with it.
    pub async fn require_verified(
        &self,
        pool: &Pool,
        release: &Arc<Release>,
        unverified: bool,
    ) -> Result<Option<Report>, PublishError> {
        let Some(policy) = self.config.plugins.require_verify else { return Ok(None) };
        let is_cleared = async {
            let mut db = pool.read().await?;
            releases::store::is_cleared(&mut db, release.digest).await
        };
        if is_cleared.await? {
            return Ok(None);
        }
        let types: Vec<_> = release.manifest.jobs.iter().map(|job| job.job_type.clone()).collect();
        let stage = Arc::new(Stage::of(&self.runtime, Arc::clone(release)));
        // Jobs run here meanwhile: half of the threads are theirs in any case.
        let width = self.runtime.thread_count() / 2;
        let verifier = Verifier::new(pool, Shelf::of_host(self, pool), Some(stage), width);
        let report = verifier.run(&types, u64::from(policy.last)).await?;
        if report.is_clean() || unverified {
            return Ok(Some(report));
        }
        Err(PublishError::Unverified(Box::new(report)))
    }
}
