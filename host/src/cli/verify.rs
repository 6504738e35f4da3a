use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};

use super::{Common, Failure, database, progress, runtime};
use crate::runtime::{
    compile::MAX_COMPONENT,
    stage::Stage,
    verify::{self, Report, Shelf, Verifier, Waiting},
};

/// Run recorded jobs again with a component that is not published: each with its journal as the world, so that nothing leaves
/// and nothing is written. Exit code 0: all do the same; 1: some do otherwise or fail; 2: the file cannot be loaded; 3: the
/// database does not answer, or no job could be run.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A component, as for `usher plugin publish`.
    file: PathBuf,
    /// So many jobs, the newest first
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    last: u64,
    /// Of this type only [default: all of the component's types]
    #[arg(long = "type", value_name = "TYPE")]
    job_type: Option<String>,
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

/// Most jobs of one run.
pub(super) const MOST: u64 = 100_000;

impl Verify {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.common.load()?;
        let place = |message: String| Failure::Usage(format!("{}: {message}", self.file.display()));
        let component = std::fs::read(&self.file).map_err(|e| place(format!("cannot be read: {e}")))?;
        if component.len() > MAX_COMPONENT {
            return Err(place(format!("has {} bytes, at most {MAX_COMPONENT} are taken", component.len())));
        }
        let asked = runtime()?.block_on(async {
            let stage = Arc::new(Stage::load(&component, &config).await.map_err(place)?);
            let owned = stage.release().manifest.jobs.iter().map(|job| job.job_type.clone());
            let types: Vec<_> =
                owned.filter(|owned| self.job_type.as_ref().is_none_or(|wanted| wanted == owned)).collect();
            if types.is_empty() {
                let wanted = self.job_type.as_deref().unwrap_or_default();
                return Err(place(format!("the plugin owns no job type \"{wanted}\"")));
            }
            let database = database(&config).await?;
            let shelf = Shelf::of_database(&database.pool, &config);
            let verifier = Verifier::new(&database.pool, shelf, Some(Arc::clone(&stage)), stage.width());
            let done = || verifier.done();
            let report = progress::bar("recorded jobs", self.last, done, verifier.run(&types, self.last)).await;
            let report = report.context("recorded jobs cannot be run")?;
            let waiting =
                verify::unfit(&database.pool, stage.release()).await.context("waiting jobs cannot be read")?;
            database.close().await;
            Ok::<_, Failure>((stage, report, waiting))
        });
        // Exit code 1 is for what does otherwise alone.
        let (stage, report, waiting) = asked.map_err(Failure::unasked)?;
        if self.json {
            let release = stage.release();
            let mut shown = report.to_json();
            shown["plugin"] = release.manifest.name.as_str().into();
            shown["version"] = release.manifest.version.as_str().into();
            shown["digest"] = json!(release.digest);
            shown["waiting"] = json!(waiting);
            println!("{shown}");
        } else {
            let release = stage.release();
            println!("{} {} ({})", release.manifest.name, release.manifest.version, release.digest);
            print(&report);
            for unfit in &waiting.unfit {
                println!("{unfit}");
            }
            if waiting.at_least {
                println!("there are more waiting jobs than were looked at");
            }
            println!("{}", last_line("verify", &report, Some(&waiting)));
        }
        verdict(&report)
    }
}

/// All but the last line.
pub(super) fn print(report: &Report) {
    if report.jobs() == 0 {
        println!("no finished job of its types is recorded: there is nothing to compare with");
    }
    print!("{report}");
}

/// For scripts.
pub(super) fn last_line(command: &str, report: &Report, waiting: Option<&Waiting>) -> String {
    let unfit = waiting.map_or_else(String::new, |waiting| format!(" unfit={}", waiting.jobs()));
    let Value::Object(counts) = report.counts() else { return String::new() };
    let of = |what: &str| counts.get(what).and_then(Value::as_u64).unwrap_or_default();
    format!(
        "{command}: jobs={} same={} different={} failed={} skipped={}{unfit}",
        of("jobs"),
        of("same"),
        of("different"),
        of("failed"),
        of("skipped")
    )
}

/// Exit code 1 where something is different or failed.
pub(super) fn verdict(report: &Report) -> Result<(), Failure> {
    if report.is_clean() {
        return Ok(());
    }
    let (bad, jobs) = (report.different + report.failed, report.jobs());
    Err(Failure::Failed(anyhow!("{bad} of {jobs} recorded jobs do otherwise")))
}
