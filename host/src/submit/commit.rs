use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use super::{Accepted, PreparedJob, SubmitError};
use crate::{
    idempotency::{
        Kind, imported,
        store::{self as keys, Holder, Wanted},
    },
    ids::{JobId, Tier},
    queue::{Lanes, NewRow, Ready, store as queue},
};

/// How often a key may change hands under our eyes before the submit is told to come again.
const TAKE_OVER_ROUNDS: usize = 3;

/// What became of a batch: one result for each job, in order, and the places where jobs are ready once it is committed.
pub struct Enqueued {
    pub results: Vec<Result<Accepted, SubmitError>>,
    pub ready: Vec<Ready>,
}

/// Keys, then jobs, for a whole batch of one tier in the caller's transaction: two statements where all keys are new.
/// An `Err` of the whole means that nothing of it may be committed.
pub async fn enqueue(
    db: &mut PgConnection,
    tier: Tier,
    jobs: &[&PreparedJob],
    lanes: &Lanes,
) -> sqlx::Result<Enqueued> {
    let mut before = done_before(db, tier, jobs).await?;
    let mut wanted: Vec<_> =
        jobs.iter().filter(|job| !before.contains_key(&job.row.id)).flat_map(|job| wants(job)).collect();
    // One lock order for all batches.
    wanted.sort_unstable_by(|a, b| (a.tenant, a.job_type, a.hash).cmp(&(b.tenant, b.job_type, b.hash)));

    let mut missed: HashSet<JobId> = HashSet::new();
    if !wanted.is_empty() {
        let taken: HashSet<_> = keys::take(db, tier, &wanted).await?.into_iter().collect();
        missed.extend(wanted.iter().filter(|w| !taken.contains(&(w.hash.to_vec(), w.job))).map(|w| w.job));
        let given_back: Vec<_> = wanted
            .iter()
            .filter(|w| missed.contains(&w.job) && taken.contains(&(w.hash.to_vec(), w.job)))
            .cloned()
            .collect();
        if !given_back.is_empty() {
            keys::give_back(db, tier, &given_back).await?;
        }
    }
    let is_fresh = |row: &&NewRow| !missed.contains(&row.id) && !before.contains_key(&row.id);
    let fresh: Vec<&NewRow> = jobs.iter().map(|job| &job.row).filter(is_fresh).collect();
    let mut ready = queue::insert(db, tier, &fresh, lanes).await?;

    let conflicts: Vec<_> = wanted.iter().filter(|w| missed.contains(&w.job)).cloned().collect();
    let holders = holders(db, tier, &conflicts).await?;
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        results.push(if let Some(said) = before.remove(&job.row.id) {
            said
        } else if !missed.contains(&job.row.id) {
            Ok(Accepted::New(job.row.id))
        } else if let Some(first) = first_of(job, &holders) {
            first
        } else {
            // Rare: a key whose time is over, or one that changes hands just now.
            settle_conflict(db, tier, job, lanes, &mut ready).await?
        });
    }
    Ok(Enqueued { results, ready })
}

/// What jobs hear that the service before this one has done, or that somebody repeats here all the same. Asks nothing unless
/// keys of their types were imported.
async fn done_before(db: &mut PgConnection, tier: Tier, jobs: &[&PreparedJob]) -> sqlx::Result<Before> {
    let hashes: Vec<_> = jobs.iter().flat_map(|job| &job.old_keys).map(|hash| hash.to_vec()).collect();
    if hashes.is_empty() {
        return Ok(Before::new());
    }
    let old: HashMap<_, _> = imported::holders(db, &hashes).await?.into_iter().collect();
    let mut before = Before::new();
    for job in jobs {
        let Some(first) = job.old_keys.iter().find_map(|hash| old.get(hash.as_slice())) else { continue };
        // A key that is held here as well has the newer answer.
        let here = holders(db, tier, &wants(job).collect::<Vec<_>>()).await?;
        before.insert(job.row.id, first_of(job, &here).unwrap_or(Ok(Accepted::Deduplicated(*first))));
    }
    Ok(before)
}

/// By the new job's id.
type Before = HashMap<JobId, Result<Accepted, SubmitError>>;

/// By tenant, job type and hash.
type Holders = HashMap<(String, String, [u8; 32]), Holder>;

async fn holders(db: &mut PgConnection, tier: Tier, wanted: &[Wanted<'_>]) -> sqlx::Result<Holders> {
    if wanted.is_empty() {
        return Ok(Holders::new());
    }
    let holders = keys::holders(db, tier, wanted).await?;
    Ok(holders.into_iter().map(|h| ((h.tenant.clone(), h.job_type.clone(), h.hash), h)).collect())
}

/// What a job hears whose key is held. The caller's own key comes first, and decides.
fn first_of(job: &PreparedJob, holders: &Holders) -> Option<Result<Accepted, SubmitError>> {
    job.keys.iter().find_map(|key| {
        let place = (job.row.tenant.clone(), job.row.job_type.clone(), key.hash);
        let holder = holders.get(&place).filter(|holder| holder.holds)?;
        Some(match key.kind {
            Kind::Header if holder.payload_hash != job.payload_hash => {
                Err(SubmitError::KeyReused { first: holder.job })
            }
            Kind::Header => Ok(Accepted::Replayed(holder.job)),
            Kind::Derived => Ok(Accepted::Deduplicated(holder.job)),
        })
    })
}

/// A job that met a key of its own: the first job answers, unless its time is over and the key is taken over.
async fn settle_conflict(
    db: &mut PgConnection,
    tier: Tier,
    job: &PreparedJob,
    lanes: &Lanes,
    ready: &mut Vec<Ready>,
) -> sqlx::Result<Result<Accepted, SubmitError>> {
    let mut wanted: Vec<_> = wants(job).collect();
    wanted.sort_unstable_by_key(|w| w.hash);
    'again: for _ in 0..TAKE_OVER_ROUNDS {
        let holders = holders(db, tier, &wanted).await?;
        if let Some(first) = first_of(job, &holders) {
            return Ok(first);
        }
        let mut ours = Vec::new();
        for want in &wanted {
            let won = match holders.get(&(want.tenant.to_owned(), want.job_type.to_owned(), want.hash)) {
                Some(holder) => keys::take_over(db, tier, want, holder).await?,
                None => !keys::take(db, tier, std::slice::from_ref(want)).await?.is_empty(),
            };
            if !won {
                keys::give_back(db, tier, &ours).await?;
                continue 'again;
            }
            ours.push(want.clone());
        }
        ready.extend(queue::insert(db, tier, &[&job.row], lanes).await?);
        return Ok(Ok(Accepted::New(job.row.id)));
    }
    Ok(Err(SubmitError::Busy))
}

fn wants(job: &PreparedJob) -> impl Iterator<Item = Wanted<'_>> {
    job.keys.iter().map(|key| Wanted {
        tenant: &job.row.tenant,
        job_type: &job.row.job_type,
        hash: key.hash,
        job: job.row.id,
        payload_hash: job.payload_hash,
    })
}
