use std::collections::{BTreeSet, HashSet};

use chrono::Utc;
use futures_util::StreamExt;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    ImportError, Progress,
    job::{Moving, Reader},
    keys,
    map::Map,
    report::{Groups, Jobs, Report},
    source::{Row, Source, Writer},
    store::{self, Claim},
    types::Types,
};
use crate::{
    alerts::{self, Alert, Severity},
    audit,
    config::Config,
    db::Pool,
    ids::Tier,
    queue::{self, Lanes},
    submit::{self, Accepted},
};

/// What an import may do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Of jobs that name none.
    pub tenant: Option<String>,
    /// Jobs that can't be taken in stay behind; otherwise they stop it.
    pub skips_unmapped: bool,
    /// Jobs under way come too, for a person to decide; otherwise they stop it.
    pub parks_active: bool,
    /// What is here is cancelled at the source.
    pub cancels_source: bool,
    /// Jobs of one transaction.
    pub batch: usize,
}

/// An import from pg-boss.
pub struct Importer<'a> {
    pub source: Source,
    pub map: Map,
    pub options: Options,
    pub pool: &'a Pool,
    pub config: &'a Config,
}

const WAITING: [&str; 2] = ["created", "retry"];
const WITH_ACTIVE: [&str; 3] = ["created", "retry", "active"];
/// A key may change hands under our eyes so often.
const TRIES: usize = 3;

impl Importer<'_> {
    /// What an import would do; writes nothing.
    pub async fn look(&mut self, progress: Progress<'_>) -> Result<Report, ImportError> {
        let found = self.source.counts().await?;
        let signs = self.source.signs().await?;
        let mut report = Report::new(&self.source, found, signs);
        let types = {
            let mut db = self.pool.read().await?;
            if !store::is_ready(&mut db).await? {
                return Err(ImportError::Usage(
                    "the database lacks the tables of an import: run usher migrate".to_owned(),
                ));
            }
            Types::read(&mut db).await?
        };
        if self.source.has_keys().await? {
            report.refused.extend(keys::refused(self.pool).await?);
            report.keys = keys::take_over(&mut self.source, &self.map, self.pool, false, progress).await?;
        } else {
            report.warnings.push(
                "the old service has no table of keys there (--keys): nothing of what it did is known".to_owned(),
            );
        }
        let total = self.total(&report);
        let mut groups = Groups::default();
        let reader = reader(&self.map, &types, self.config, &self.options);
        let (mut chunks, _) = self.source.jobs(states(&self.options), self.options.batch);
        let mut done = 0;
        while let Some(rows) = chunks.next().await {
            let rows = rows?;
            done += rows.len() as u64;
            let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
            let known = store::known(&mut *self.pool.read().await?, &ids).await?;
            report.jobs.already += known.len() as u64;
            for row in rows.iter().filter(|row| !known.contains(&row.id)) {
                match reader.read(row) {
                    Ok(moving) if moving.parked => report.jobs.parked += 1,
                    Ok(_) => report.jobs.moved += 1,
                    Err(unmapped) => {
                        report.jobs.unmapped += 1;
                        groups.add(unmapped, row.id);
                    }
                }
            }
            progress("looking", done, total);
        }
        drop(chunks);
        report.unmapped = groups.list();
        self.judge(&mut report);
        Ok(report)
    }

    /// Looks, and then does it, unless something speaks against it.
    pub async fn apply(&mut self, by: &str, progress: Progress<'_>) -> Result<Report, ImportError> {
        let mut report = self.look(progress).await?;
        if !report.refused.is_empty() {
            return Ok(report);
        }
        report.applied = true;
        // First the keys: a job that was done there is not to be done here.
        if self.source.has_keys().await? {
            report.keys = keys::take_over(&mut self.source, &self.map, self.pool, true, progress).await?;
        }
        let types = Types::read(&mut *self.pool.read().await?).await?;
        let total = self.total(&report);
        let target = Target { pool: self.pool, lanes: Lanes::new(self.config.tenants.weights()) };
        let reader = reader(&self.map, &types, self.config, &self.options);
        let states = states(&self.options);
        let (mut groups, mut jobs, mut done) = (Groups::default(), Jobs::default(), 0);
        let (mut chunks, writer) = self.source.jobs(states, self.options.batch);
        while let Some(rows) = chunks.next().await {
            let rows = rows?;
            done += rows.len() as u64;
            if self.options.cancels_source {
                target.take_and_cancel(rows, states, &reader, writer, (&mut jobs, &mut groups)).await?;
            } else {
                target.take(rows, &reader, (&mut jobs, &mut groups)).await?;
            }
            progress("jobs", done, total);
        }
        drop(chunks);
        report.jobs = jobs;
        report.unmapped = groups.list();
        let mut tx = self.pool.begin_durable("").await?;
        let detail = json!({ "jobs": report.jobs, "keys": report.keys });
        audit::write(&mut tx, by, None, "import", "pg-boss", detail).await?;
        tx.commit().await?;
        Ok(report)
    }

    /// What speaks against doing it.
    fn judge(&self, report: &mut Report) {
        let active = report.count("active");
        if active > 0 && !self.options.parks_active {
            report.refused.push(format!(
                "{active} jobs are under way at the source: stop its workers and let them end, or say --treat-active-as=park, \
                 and a person decides about each"
            ));
        }
        if report.jobs.unmapped > 0 && !self.options.skips_unmapped {
            report.refused.push(format!(
                "{} jobs can't be taken in: say how by --map, or leave them behind by --skip-unmapped",
                report.jobs.unmapped
            ));
        }
    }

    /// Jobs that are looked at.
    fn total(&self, report: &Report) -> u64 {
        let of = |state: &&str| u64::try_from(report.count(state)).unwrap_or_default();
        states(&self.options).iter().map(of).sum()
    }
}

fn states(options: &Options) -> &'static [&'static str] {
    if options.parks_active { &WITH_ACTIVE } else { &WAITING }
}

fn reader<'r>(map: &'r Map, types: &'r Types, config: &'r Config, options: &'r Options) -> Reader<'r> {
    Reader { map, types, queues: &config.queues, tenant: options.tenant.as_deref(), now: Utc::now() }
}

/// Where jobs go.
struct Target<'a> {
    pool: &'a Pool,
    lanes: Lanes,
}

/// What became of them.
type Counted<'c> = (&'c mut Jobs, &'c mut Groups);

impl Target<'_> {
    /// Nobody at the source can take them while they are taken in; then they are cancelled there. Cut off between the two, they
    /// are here and wait there, and a repeat only cancels them.
    async fn take_and_cancel(
        &self,
        mut rows: Vec<Row>,
        states: &[&str],
        reader: &Reader<'_>,
        writer: &mut Writer,
        counted: Counted<'_>,
    ) -> Result<(), ImportError> {
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let held = writer.hold(&ids, states).await?;
        let before = rows.len();
        rows.retain(|row| held.ids.contains(&row.id));
        let (jobs, groups) = counted;
        jobs.taken += (before - rows.len()) as u64;
        let here = self.take(rows, reader, (&mut *jobs, groups)).await?;
        jobs.cancelled += here.len() as u64;
        held.cancel(&here).await
    }

    /// Takes in what is not here yet; returns what is here now.
    async fn take(
        &self,
        rows: Vec<Row>,
        reader: &Reader<'_>,
        (jobs, groups): Counted<'_>,
    ) -> Result<Vec<Uuid>, ImportError> {
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let known = store::known(&mut *self.pool.read().await?, &ids).await?;
        jobs.already += known.len() as u64;
        let mut here: Vec<_> = known.iter().copied().collect();
        let mut moving = Vec::new();
        for row in rows.iter().filter(|row| !known.contains(&row.id)) {
            match reader.read(row) {
                Ok(job) => moving.push(job),
                Err(unmapped) => {
                    jobs.unmapped += 1;
                    groups.add(unmapped, row.id);
                }
            }
        }
        for tier in Tier::ALL {
            let of_tier: Vec<_> = moving.iter().filter(|moving| moving.job.tier() == tier).collect();
            if !of_tier.is_empty() {
                self.commit(tier, &of_tier, jobs).await?;
                here.extend(of_tier.iter().map(|moving| moving.source));
            }
        }
        Ok(here)
    }

    async fn commit(&self, tier: Tier, all: &[&Moving], jobs: &mut Jobs) -> Result<(), ImportError> {
        for _ in 0..TRIES {
            // Durable whatever the tier: the source may be cancelled next.
            let mut tx = self.pool.begin_durable("SET LOCAL lock_timeout = '30s'").await?;
            let Some(done) = self.write(&mut tx, tier, all).await? else { continue };
            tx.commit().await?;
            jobs.moved += done.moved;
            jobs.parked += done.parked;
            jobs.deduplicated += done.deduplicated;
            jobs.already += done.already;
            return Ok(());
        }
        Err(ImportError::Stopped("keys change hands all the time; repeat the import when less is submitted".to_owned()))
    }

    /// `None`: a key changed hands meanwhile, and nothing of it may be committed.
    async fn write(&self, db: &mut PgConnection, tier: Tier, all: &[&Moving]) -> Result<Option<Jobs>, ImportError> {
        let claims: Vec<_> = all
            .iter()
            .map(|moving| Claim {
                source: moving.source,
                job: moving.job.id(),
                queue: &moving.queue,
                parked: moving.parked,
            })
            .collect();
        let won: HashSet<Uuid> = store::claim(db, &claims).await?;
        let mut counts = Jobs { already: (all.len() - won.len()) as u64, ..Jobs::default() };
        let all: Vec<_> = all.iter().filter(|moving| won.contains(&moving.source)).collect();
        let jobs: Vec<_> = all.iter().map(|moving| &moving.job).collect();
        let done = submit::enqueue(db, tier, &jobs, &self.lanes).await?;
        let (mut parked, mut raised, mut held, mut queues) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
        for (moving, result) in all.iter().zip(done.results) {
            match result {
                Ok(Accepted::New(id)) if moving.parked => {
                    parked.push(id.0);
                    raised.push(alert(moving));
                }
                Ok(Accepted::New(_)) => {
                    counts.moved += 1;
                    queues.insert(moving.job.queue());
                }
                Ok(Accepted::Deduplicated(first) | Accepted::Replayed(first)) => held.push((moving.source, first)),
                Err(_) => return Ok(None),
            }
        }
        counts.deduplicated = held.len() as u64;
        if !held.is_empty() {
            store::deduplicated(db, &held).await?;
        }
        if !parked.is_empty() {
            counts.parked = parked.len() as u64;
            let message = "it was under way in pg-boss: say whether it happened";
            let note = json!({ "kind": "imported", "message": message, "at": Utc::now() });
            if queue::store::park(db, tier, &parked, &note).await? != counts.parked {
                return Ok(None);
            }
            alerts::raise(db, &raised).await?;
        }
        for queue in queues {
            store::ring(db, queue).await?;
        }
        Ok(Some(counts))
    }
}

fn alert(moving: &Moving) -> Alert {
    let job = moving.job.id();
    Alert {
        kind: "unknown-outcome",
        subject: format!("job/{job}"),
        tenant: Some(moving.job.tenant().to_owned()),
        severity: Severity::Critical,
        message:
            "A job came over from pg-boss while it was under way: retry it if it did not happen, cancel it if it did."
                .to_owned(),
        detail: json!({ "job": job, "pgBossId": moving.source }),
    }
}
