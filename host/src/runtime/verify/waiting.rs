use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::VerifyError;
use crate::{
    db::Pool,
    ids::{Digest, JobId, Tier},
    queue::store,
    releases,
    runtime::Release,
};

/// Waiting jobs against the types and schemas of a new release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Jobs that it would refuse, by type and by the release that accepted them.
    pub unfit: Vec<Unfit>,
    /// There are so many that not all were looked at.
    pub at_least: bool,
}

/// Waiting jobs of one type that one release accepted, and a new one would not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfit {
    #[serde(rename = "type")]
    pub job_type: String,
    /// `None`: no schema was asked yet.
    pub accepted_by: Option<Digest>,
    /// Of that release, if it is stored.
    pub version: Option<String>,
    pub jobs: u64,
    pub example: JobId,
    /// RFC 6901, into the example's payload; empty where the release does not name the type.
    pub pointer: String,
    /// What is wrong there, without the payload's values.
    pub message: String,
}

/// Jobs that are read at once, and bytes of theirs.
const PAGE: i64 = 500;
const PAGE_BYTES: i64 = 8 << 20;
/// Jobs that are looked at.
const MOST: usize = 100_000;

/// Which waiting jobs this release would refuse: by its schemas, or since it does not name their type, which its plugin owns.
/// Jobs that had an effect stay on their release and are not asked about; nor are those that the same schema has accepted
/// before.
pub async fn unfit(pool: &Pool, release: &Release) -> Result<Waiting, VerifyError> {
    let mut found: BTreeMap<(String, Option<Digest>), Unfit> = BTreeMap::new();
    let mut looked = 0;
    for (job_type, validator) in asked(pool, release).await? {
        let job = release.manifest.jobs.iter().find(|job| job.job_type == job_type);
        let known = match job {
            Some(job) => {
                let mut db = pool.read().await?;
                releases::store::with_schema(&mut db, &release.manifest.name, &job_type, &job.schema).await?
            }
            None => Vec::new(),
        };
        for tier in Tier::ALL {
            let mut after = Uuid::nil();
            loop {
                let page = {
                    let mut db = pool.read().await?;
                    store::waiting(&mut db, tier, &job_type, &known, after, PAGE_BYTES, PAGE).await?
                };
                let Some(last) = page.last() else { break };
                after = last.id;
                looked += page.len();
                for (job_id, accepted_by, (pointer, message)) in refused(page, validator.as_ref()).await? {
                    let entry = found.entry((job_type.clone(), accepted_by)).or_insert_with(|| Unfit {
                        job_type: job_type.clone(),
                        accepted_by,
                        version: None,
                        jobs: 0,
                        example: job_id,
                        pointer,
                        message,
                    });
                    entry.jobs += 1;
                }
                if looked >= MOST {
                    return named(pool, found, true).await;
                }
            }
        }
    }
    named(pool, found, false).await
}

/// A type of its plugin with its validator; without: it does not name it.
type Asked = (String, Option<Arc<jsonschema::Validator>>);

async fn asked(pool: &Pool, release: &Release) -> Result<Vec<Asked>, VerifyError> {
    let mut types: Vec<_> =
        release.validators.iter().map(|(t, validator)| (t.clone(), Some(Arc::clone(validator)))).collect();
    let mut db = pool.read().await?;
    let owned = releases::store::types_of(&mut db, &release.manifest.name).await?;
    let dropped = owned.into_iter().filter(|owned| release.manifest.jobs.iter().all(|job| job.job_type != *owned));
    types.extend(dropped.map(|owned| (owned, None)));
    Ok(types)
}

type Refused = (JobId, Option<Digest>, (String, String));

/// On a thread that nobody waits for: schemas compute.
async fn refused(
    page: Vec<store::Waiting>,
    validator: Option<&Arc<jsonschema::Validator>>,
) -> Result<Vec<Refused>, VerifyError> {
    let validator = validator.cloned();
    let looked = tokio::task::spawn_blocking(move || -> Vec<Refused> {
        let wrong = |job: store::Waiting| {
            let wrong = match &validator {
                Some(validator) => wrong(validator, &job.payload)?,
                None => (String::new(), "the release does not name the type".to_owned()),
            };
            Some((JobId(job.id), job.accepted_by, wrong))
        };
        page.into_iter().filter_map(wrong).collect()
    });
    looked.await.map_err(|_| VerifyError::Stage("the look at its payload failed".to_owned()))
}

fn wrong(validator: &jsonschema::Validator, payload: &str) -> Option<(String, String)> {
    match serde_json::from_str::<Value>(payload) {
        Ok(payload) => {
            let error = validator.iter_errors(&payload).next()?;
            Some((error.instance_path().to_string(), error.masked().to_string()))
        }
        Err(_) => Some((String::new(), "it is no JSON".to_owned())),
    }
}

async fn named(
    pool: &Pool,
    found: BTreeMap<(String, Option<Digest>), Unfit>,
    at_least: bool,
) -> Result<Waiting, VerifyError> {
    let mut unfit: Vec<_> = found.into_values().collect();
    for one in &mut unfit {
        if let Some(digest) = one.accepted_by {
            let mut db = pool.read().await?;
            one.version = releases::store::get(&mut db, digest).await?.map(|stored| stored.manifest.version);
        }
    }
    Ok(Waiting { unfit, at_least })
}

impl Waiting {
    /// How many jobs it is about.
    pub fn jobs(&self) -> u64 {
        self.unfit.iter().map(|unfit| unfit.jobs).sum()
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match (&self.version, self.accepted_by) {
            (Some(version), _) => version.clone(),
            (None, Some(digest)) => digest.to_string(),
            (None, None) => "none yet".to_owned(),
        };
        write!(
            f,
            "{} waiting jobs of {} (accepted by {by}) do not fit it, e.g. job {} at \"{}\": {}",
            self.jobs, self.job_type, self.example, self.pointer, self.message
        )
    }
}
