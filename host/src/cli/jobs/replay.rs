use std::sync::Arc;

use anyhow::{Context, anyhow};
use chrono::{TimeDelta, Utc};
use clap::Args;

use crate::{
    cli::{Common, Failure, database, progress, runtime, verify},
    config::Config,
    db::{Database, Pool},
    ids::{Digest, JobId},
    queue::store,
    releases,
    runtime::{
        stage::Stage,
        verify::{Record, Shelf, Skipped, Verdict, Verifier},
    },
};

/// Run a finished job again with its journal as the world: no effect leaves, nothing is written. Exit code 1 where it asks or
/// ends otherwise than it did.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(in crate::cli) struct Replay {
    #[arg(group = "which")]
    id: Option<JobId>,
    /// The last N finished jobs in its place, each with the release that ended it
    #[arg(long, group = "which", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=verify::MOST))]
    last: Option<u64>,
    /// Of these, those of this type only.
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "id")]
    job_type: Option<String>,
    #[arg(long, conflicts_with = "id")]
    json: bool,
    /// With another release than the one that ended it: its digest, sha256:…
    #[arg(long)]
    release: Option<Digest>,
    #[command(flatten)]
    common: Common,
}

impl Replay {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.common.load()?;
        runtime()?.block_on(async {
            let database = database(&config).await.map_err(Failure::unasked)?;
            let done = match (self.id, self.last) {
                (Some(id), _) => self.one(&config, &database, id).await,
                (None, last) => self.many(&config, &database, last.unwrap_or_default()).await,
            };
            database.close().await;
            done
        })
    }

    async fn one(&self, config: &Config, database: &Database, id: JobId) -> Result<(), Failure> {
        let record = recorded(&database.pool, id).await.map_err(Failure::unasked)?;
        let release = self.release.unwrap_or(record.release);
        let candidate = Some(Arc::new(stored(&database.pool, config, release).await.map_err(Failure::unasked)?));
        let verifier = Verifier::new(&database.pool, Shelf::of_database(&database.pool, config), candidate, 1);
        match verifier.judge(&record).await.context("the job cannot be run").map_err(unasked)? {
            Verdict::Same { end, .. } => {
                let effects = record.scene().journal.len();
                let how = match &record.open {
                    Some(_) => "the last of which never had an answer",
                    None if record.is_cut() => "as far as it went",
                    None => "and the same end, byte for byte",
                };
                println!("job {id}: the same {effects} effects, {how}, with release {release}");
                println!("{end}");
                Ok(())
            }
            Verdict::Different(difference) => {
                Err(Failure::Failed(anyhow!("job {id} with release {release}: {}", difference.full)))
            }
            Verdict::Failed { kind, message } => {
                Err(Failure::Failed(anyhow!("job {id} with release {release}: {kind}: {message}")))
            }
            Verdict::Skipped(why) => Err(skipped(id, why)),
        }
    }

    async fn many(&self, config: &Config, database: &Database, last: u64) -> Result<(), Failure> {
        let candidate = match self.release {
            Some(release) => Some(Arc::new(stored(&database.pool, config, release).await.map_err(Failure::unasked)?)),
            None => None,
        };
        // Another release knows its own types only.
        let owned = candidate.iter().flat_map(|stage| stage.release().manifest.jobs.iter().map(|job| &job.job_type));
        let types: Vec<_> = match &self.job_type {
            Some(job_type) => vec![job_type.clone()],
            None => owned.cloned().collect(),
        };
        let width = candidate.as_ref().map_or(2 * config.runtime.threads, |stage| stage.width());
        let verifier = Verifier::new(&database.pool, Shelf::of_database(&database.pool, config), candidate, width);
        let done = || verifier.done();
        let report = progress::bar("recorded jobs", last, done, verifier.run(&types, last)).await;
        let report = report.context("recorded jobs cannot be run").map_err(unasked)?;
        if self.json {
            println!("{}", report.to_json());
        } else {
            verify::print(&report);
            println!("{}", verify::last_line("replay", &report, None));
        }
        verify::verdict(&report)
    }
}

/// Exit code 1 is for what does otherwise alone.
fn unasked(error: anyhow::Error) -> Failure {
    Failure::from(error).unasked()
}

async fn recorded(pool: &Pool, id: JobId) -> Result<Record, Failure> {
    let failed = "the job cannot be read";
    let mut db = pool.read().await.context(failed)?;
    // An id tells when its job (or the parent of it) was made.
    let day = TimeDelta::days(1);
    let found = store::recordings(&mut db, &[id.0], (id.made_at() - day, Utc::now() + day), i64::MAX).await;
    if let Some(recording) = found.context(failed)?.pop() {
        return Record::of(recording).map_err(|why| skipped(id, why));
    }
    Err(Failure::Usage(match store::get(&mut db, id, None).await.context(failed)? {
        Some(job) => format!("job {id} is {}: only what has finished can be replayed", job.state),
        None => format!("there is no job {id}, or its history is kept no longer"),
    }))
}

fn skipped(id: JobId, why: Skipped) -> Failure {
    Failure::Usage(format!("job {id} cannot be compared: {}", why.why()))
}

async fn stored(pool: &Pool, config: &Config, release: Digest) -> Result<Stage, Failure> {
    let mut db = pool.read().await.context("the release cannot be read")?;
    let component = releases::store::wasm(&mut db, release).await.context("the release cannot be read")?;
    let component = component.ok_or_else(|| Failure::Usage(format!("release {release} is not stored")))?;
    drop(db);
    Stage::load(&component, config).await.map_err(Failure::Usage)
}
