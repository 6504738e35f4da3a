//! Recorded jobs run again, and what they do otherwise: a new release against history, or history against itself.
//!
//! A finished job is played with its journal as the world, so nothing leaves and nothing is written. Its effects and its end are
//! held against the record; the jobs and events that it left with its success, which no journal holds, against what the release
//! that ended it does with the same journal.

mod align;
mod gate;
mod judge;
mod record;
mod report;
mod shelf;
mod waiting;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use self::{
    record::{Record, Skipped},
    report::{Finding, Of, Report},
    shelf::Shelf,
    waiting::{Unfit, Waiting, unfit},
};
use crate::{
    db::Pool,
    idempotency,
    ids::JobId,
    queue::store::{self, Recording},
    runtime::stage::{Finish, Played, Scene, Stage},
};

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the recorded jobs cannot be read")]
    Database(#[from] sqlx::Error),
    #[error("a recorded job cannot be run: {0}")]
    Stage(String),
}

/// What one recorded job came to.
#[derive(Debug)]
pub enum Verdict {
    /// The same effects and the same end, to the byte.
    Same {
        end: Finish,
        /// False: what it enqueued and published could not be compared.
        compared: bool,
    },
    Different(Difference),
    /// It trapped, ran into a limit, or could not be run to its end; `kind` as in a job's errors.
    Failed {
        kind: String,
        message: String,
    },
    Skipped(Skipped),
}

#[derive(Clone, Debug)]
pub struct Difference {
    pub finding: Finding,
    /// For reports: nothing that a journal would not show.
    pub shown: String,
    /// For who asks for this very job: with its result.
    pub full: String,
}

/// Runs recorded jobs again, some at once, each in its turn like any other guest.
pub struct Verifier<'a> {
    pool: &'a Pool,
    shelf: Shelf<'a>,
    /// `None`: each job by the release that ended it.
    candidate: Option<Arc<Stage>>,
    turns: Semaphore,
    /// Jobs that ran into a limit of time.
    slow: AtomicU32,
    /// Jobs of which it is known by now what they came to.
    done: AtomicU64,
}

/// Jobs whose ids are looked for at once: at least, at most.
const STRETCH: (u64, u64) = (200, 5_000);
/// Jobs of all types that are looked at for those of the types asked for.
const LOOK: i64 = 1_000_000;
/// Jobs that are read at once, if they are small.
const PAGE: usize = 100;
/// Bytes that are read at once, if it is more than one job.
const PAGE_BYTES: i64 = 8 << 20;
/// Once so many jobs have run into a limit of time, the others are not run: it would take for ever.
const SLOW: u32 = 20;
/// How often a job asks for room on a host that is full, and how long it waits in between.
const ASK_FOR_ROOM: u32 = 20;
const NO_ROOM: Duration = Duration::from_millis(250);

impl<'a> Verifier<'a> {
    /// `width`: jobs at once.
    pub fn new(pool: &'a Pool, shelf: Shelf<'a>, candidate: Option<Arc<Stage>>, width: usize) -> Self {
        let turns = Semaphore::new(width.max(1));
        Self { pool, shelf, candidate, turns, slow: AtomicU32::new(0), done: AtomicU64::new(0) }
    }

    /// How many jobs a run has come through so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The last jobs of these types (of all, if none is named), newest first.
    pub async fn run(&self, types: &[String], last: u64) -> Result<Report, VerifyError> {
        let mut report = Report::default();
        let mut below = Uuid::from_u128(u128::MAX);
        let (mut left, mut looked) = (last, 0);
        while left > 0 {
            let most = i64::try_from(left.saturating_mul(2).clamp(STRETCH.0, STRETCH.1)).unwrap_or(i64::MAX);
            let mut stretch = {
                let mut db = self.pool.read().await?;
                store::stretch(&mut db, types, below, most).await?
            };
            looked += stretch.looked;
            stretch.ids.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= stretch.ids.len() as u64;
            if let Some(ended) = stretch.ended {
                for page in stretch.ids.chunks(PAGE) {
                    self.page(page, ended, &mut report).await?;
                }
            }
            match stretch.below {
                Some(_) if looked >= LOOK => {
                    report.cut_short = left > 0;
                    break;
                }
                Some(next) => below = next,
                None => break,
            }
        }
        // Jobs that are known of, and whose history is gone, are told from jobs that never were.
        if left > 0 && !report.cut_short {
            let mut db = self.pool.read().await?;
            let most = i64::try_from(left).unwrap_or(i64::MAX);
            for (job, job_type) in idempotency::store::forgotten(&mut db, types, most).await? {
                report.add(job, job_type, Verdict::Skipped(Skipped::Pruned));
            }
        }
        Ok(report)
    }

    /// `ids`: newest first.
    async fn page(
        &self,
        mut ids: &[Uuid],
        ended: (DateTime<Utc>, DateTime<Utc>),
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        while !ids.is_empty() {
            let found = {
                let mut db = self.pool.read().await?;
                store::recordings(&mut db, ids, ended, PAGE_BYTES).await?
            };
            // Those that are gone from there were started again.
            let Some(last) = found.last().map(|recording| recording.id.0) else { break };
            let next = ids.iter().position(|id| *id < last).unwrap_or(ids.len());
            ids = ids.get(next..).unwrap_or_default();
            let mut running: FuturesUnordered<_> = found.into_iter().map(|recording| self.one(recording)).collect();
            while let Some(done) = running.next().await {
                let (job, job_type, verdict) = done?;
                report.add(job, job_type, verdict);
                self.done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    async fn one(&self, recording: Recording) -> Result<(JobId, String, Verdict), VerifyError> {
        let (job, job_type) = (recording.id, recording.job_type.clone());
        let verdict = match Record::of(recording) {
            Ok(record) => self.judge(&record).await?,
            Err(skipped) => Verdict::Skipped(skipped),
        };
        Ok((job, job_type, verdict))
    }

    /// One job, held against what is recorded of it.
    pub async fn judge(&self, record: &Record) -> Result<Verdict, VerifyError> {
        let _turn = self.turns.acquire().await;
        if self.slow.load(Ordering::Relaxed) >= SLOW {
            return Ok(Verdict::Skipped(Skipped::NotRun));
        }
        let stage = match &self.candidate {
            Some(stage) => Some(Arc::clone(stage)),
            None => self.shelf.stage(record.release).await?,
        };
        let Some(stage) = stage else { return Ok(Verdict::Skipped(Skipped::NoRelease)) };
        let verdict = judge::judge(&self.shelf, &stage, record).await?;
        if matches!(&verdict, Verdict::Failed { kind, .. } if ["cpu-limit", "wall-limit"].contains(&kind.as_str())) {
            self.slow.fetch_add(1, Ordering::Relaxed);
        }
        Ok(verdict)
    }
}

/// How a journal is the world.
#[derive(Clone, Copy, Debug)]
enum Journal {
    /// It must be kept to, as in production.
    Kept,
    /// It only lends its answers, so that one sees how the guest goes on.
    Lent,
}

/// A full host says nothing about the job: it asks again.
async fn play(stage: &Stage, scene: &Scene, journal: Journal) -> Result<Played, VerifyError> {
    let mut asked = 0;
    loop {
        let played = match journal {
            Journal::Kept => stage.play(scene.clone()).await,
            Journal::Lent => stage.explore(scene.clone()).await,
        };
        let played = played.map_err(VerifyError::Stage)?;
        asked += 1;
        if !matches!(played.end, Finish::Stopped { kind: "crowded", .. }) || asked == ASK_FOR_ROOM {
            return Ok(played);
        }
        tokio::time::sleep(NO_ROOM).await;
    }
}
