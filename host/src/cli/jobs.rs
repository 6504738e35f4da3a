use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Common, Failure, runtime};
use crate::{
    db,
    effects::script::End,
    ids::{Digest, JobId},
    journal::{Recorded, Restored},
    queue::{self, JobView},
    releases,
    runtime::stage::{Finish, Played, Scene, Stage},
    worker::MAX_MESSAGE,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a finished job again with its journal as the world: no effect leaves, nothing is written. Exit code 1 where it asks or
    /// ends otherwise than it did.
    Replay(Replay),
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    id: JobId,
    /// With another release than the one that ended it: its digest, sha256:…
    #[arg(long)]
    release: Option<Digest>,
    #[command(flatten)]
    common: Common,
}

/// A finished job, as it was.
struct Past {
    job: JobView,
    journal: Vec<Recorded>,
    release: Digest,
    component: Vec<u8>,
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        let Self::Replay(replay) = self;
        replay.run()
    }
}

impl Replay {
    fn run(self) -> Result<(), Failure> {
        let config = self.common.load()?;
        let Some(url) = config.database.direct_url.as_ref().or(config.database.url.as_ref()) else {
            return Err(Failure::Usage("no database is named: set DATABASE_URL or database.url".to_owned()));
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (past, played) = runtime()?.block_on(async {
            let pool = db::straight(url.expose()).await.context("cannot use the database")?;
            // Read in a transaction that is never committed.
            let mut tx = pool.begin().await.context("cannot use the database")?;
            let past = past(&mut tx, self.id, self.release).await?;
            tx.rollback().await.context("cannot use the database")?;
            let stage = Stage::load(&past.component, &config).await.map_err(Failure::Usage)?;
            let played = stage.play(scene(&past)).await.map_err(Failure::Usage)?;
            Ok::<_, Failure>((past, played))
        })?;
        match difference(&past, &played) {
            None => {
                let same = if stopped_alike(&past, &played) {
                    "the last of which never had an answer"
                } else {
                    "and the same end, byte for byte"
                };
                println!(
                    "job {}: the same {} effects, {same}, with release {}",
                    self.id,
                    past.journal.len(),
                    past.release
                );
                println!("{}", played.end);
                Ok(())
            }
            Some(difference) => {
                Err(Failure::Failed(anyhow!("job {} with release {}: {difference}", self.id, past.release)))
            }
        }
    }
}

async fn past(db: &mut PgConnection, id: JobId, release: Option<Digest>) -> Result<Past, Failure> {
    let failed = "the job cannot be read";
    let job = queue::store::get(db, id, None).await.context(failed)?;
    let job = job.ok_or_else(|| Failure::Usage(format!("there is no job {id}")))?;
    let Some(finished) = queue::store::lock_finished(db, id, None).await.context(failed)? else {
        return Err(Failure::Usage(format!("job {id} is {}: only what has finished can be replayed", job.state)));
    };
    let rows: Vec<Restored> =
        serde_json::from_value(finished.journal.unwrap_or_else(|| json!([]))).context("the archived journal")?;
    let journal: Option<Vec<Recorded>> = rows.iter().map(Restored::recorded).collect();
    let journal = journal.ok_or_else(|| anyhow!("the archived journal is not readable by this version"))?;
    let ran = journal.last().map(|row| row.release).or(job.release);
    let release =
        release.or(ran).ok_or_else(|| Failure::Usage(format!("job {id} never ran: there is nothing to replay")))?;
    let component = releases::store::wasm(db, release).await.context(failed)?;
    let component = component.ok_or_else(|| Failure::Usage(format!("release {release} is not stored")))?;
    Ok(Past { job, journal, release, component })
}

fn scene(past: &Past) -> Scene {
    let job = &past.job;
    // Before its first effect a job's clock is in its journal; one without effects has left none.
    let began: DateTime<Utc> = job.finished_at.unwrap_or(job.created_at);
    Scene {
        id: job.id,
        job_type: job.job_type.clone(),
        payload: job.payload.clone(),
        tenant: job.tenant.clone(),
        attempt: job.attempt.cast_unsigned(),
        max_attempts: job.max_attempts.cast_unsigned(),
        at_ms: u64::try_from(began.timestamp_millis()).unwrap_or_default(),
        journal: past.journal.clone(),
        answers: Vec::new(),
    }
}

/// The first.
fn difference(past: &Past, played: &Played) -> Option<String> {
    if stopped_alike(past, played) {
        return None;
    }
    if let Some(effect) = played.effects.iter().find(|effect| !matches!(effect.end, End::Recorded(_))) {
        return Some(match &played.end {
            Finish::Stopped { kind: "nondeterministic", message } => message.clone(),
            _ => format!("effect {} ({}) is not in the journal: {}", effect.seq, effect.call(), effect.redacted),
        });
    }
    if let Some(row) = past.journal.get(played.effects.len()) {
        let call = format!("{}.{}", row.provider, row.function);
        return Some(format!("effect {} ({call}) is not asked for any more: {}", row.seq, row.request));
    }
    let job = &past.job;
    let last = job.errors.as_array().and_then(|errors| errors.last()).cloned().unwrap_or_default();
    let was = match (job.state.as_str(), &job.result) {
        ("completed", Some(result)) => Finish::Completed(result.clone()).to_string(),
        _ => said(&last),
    };
    let is = match &played.end {
        Finish::Retry { message, .. } => said(&json!({"kind": "guest-retry", "message": message})),
        Finish::Permanent(message) => said(&json!({"kind": "guest-permanent", "message": message})),
        Finish::Trapped { kind, message } => said(&json!({"kind": kind, "message": message})),
        end => end.to_string(),
    };
    (was != is).then(|| format!("it ends differently: was {was}, is {is}"))
}

/// Its last attempt ended inside a call that has no answer, such as one whose provider said "later" until no attempt was left. How
/// such a call ends is not the guest's doing: that it asks the same is all that can be compared.
fn stopped_alike(past: &Past, played: &Played) -> bool {
    let Some((last, before)) = played.effects.split_last() else { return false };
    let is_open = |row: &Recorded| row.answer.is_none() && row.request_hash == last.request_hash;
    matches!(last.end, End::Missing)
        && before.iter().all(|effect| matches!(effect.end, End::Recorded(_)))
        && past.journal.len() == played.effects.len()
        && past.journal.last().is_some_and(is_open)
}

/// As a job's errors keep it.
fn said(error: &Value) -> String {
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    let message: String = text("message").chars().filter(|c| *c != '\0').take(MAX_MESSAGE).collect();
    format!("{}: {message}", text("kind"))
}
