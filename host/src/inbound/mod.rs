//! What Stripe tells by itself: its events.
//!
//! Owns: who signed an event, its row, the question that it brings about, and the jobs that are made of it.
//! Refuses: an event that no secret of ours signed; to believe what one says of an effect (Stripe is asked, by the gate); to take
//! a tenant from words that its owner could have written himself.
//! Invariant: an event is taken once, in one transaction with the jobs that are made of it.
//! Tables: stripe_events (others through `queue`, `journal`, `submit`, `alerts`).

mod event;
mod source;
mod store;
mod wake;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::json;
use sqlx::PgConnection;

use self::{event::Event, source::Source, wake::Wake};
use crate::{
    alerts::{self, Alert, Severity},
    config::{self, StripeJob},
    db::Pool,
    ids::{JobId, Tier},
    journal::store::{self as journal, Marked},
    queue::{Bell, Lanes, Ready},
    signature::StripeSignature,
    submit::{self, NewJob, PreparedJob, SubmitError, Submitter},
};

pub use self::store::clear_up;

/// A repeat waits here for the end of the first one; and a job's row for whoever holds it.
const PATIENCE: &str = "SET LOCAL lock_timeout = '2s'";

/// Takes events.
pub struct Inbound {
    pool: Pool,
    bell: Bell,
    lanes: Lanes,
    submitter: Submitter,
    /// How long after its deadline a call's sender may still be alive.
    doubt_margin: Duration,
    sources: Vec<Source>,
    jobs: Vec<StripeJob>,
    counts: Counts,
}

/// An event that is written down.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub id: String,
    /// It was taken before; nothing more was done.
    pub replayed: bool,
    /// What it became.
    pub jobs: Vec<JobId>,
}

/// Nothing of the event was written, and Stripe sends it again.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    #[error("no secret of this host signed it")]
    Signature,
    #[error("the body is not JSON")]
    Json { line: usize, column: usize },
    /// Signed, and none of the events that are known here: the place, and what should stand there.
    #[error("{pointer}: {message}")]
    Event { pointer: &'static str, message: &'static str },
    #[error("the event cannot become a job of the type \"{job_type}\"")]
    Job {
        job_type: String,
        #[source]
        source: SubmitError,
    },
    #[error("the database could not take it")]
    Database(#[from] sqlx::Error),
}

/// What this host was sent since it started.
#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    replayed: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Inbound {
    /// `None`: no profile has a secret, so that no event can be told from a forgery.
    pub fn new(
        config: &config::Stripe,
        pool: &Pool,
        bell: &Bell,
        lanes: &Lanes,
        submitter: &Submitter,
        doubt_margin: Duration,
    ) -> Option<Self> {
        let sources = source::all(config);
        if sources.is_empty() {
            return None;
        }
        for job in config.jobs.iter().filter(|job| submitter.catalog().get(&job.job_type).is_none()) {
            tracing::warn!(
                event.kind = job.event,
                job.kind = job.job_type,
                "no plugin owns the type of this job yet; until one does, Stripe is told to come again with such events"
            );
        }
        Some(Self {
            pool: pool.clone(),
            bell: bell.clone(),
            lanes: lanes.clone(),
            submitter: submitter.clone(),
            doubt_margin,
            sources,
            jobs: config.jobs.clone(),
            counts: Counts::default(),
        })
    }

    /// Takes an event: written down, what is in doubt woken, and the jobs enqueued, all or nothing, durably.
    pub async fn receive(&self, signature: &StripeSignature<'_>, body: &[u8]) -> Result<Taken, InboundError> {
        let done = self.take(signature, body).await;
        let count = match &done {
            Ok(taken) if taken.replayed => &self.counts.replayed,
            Ok(_) => &self.counts.taken,
            Err(InboundError::Database(_) | InboundError::Job { .. }) => &self.counts.failed,
            Err(_) => &self.counts.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
        done
    }

    /// Events since this host started, by what became of them.
    pub fn counts(&self) -> [(&'static str, u64); 4] {
        let Counts { taken, replayed, refused, failed } = &self.counts;
        [("taken", taken), ("replayed", replayed), ("refused", refused), ("failed", failed)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }

    async fn take(&self, signature: &StripeSignature<'_>, body: &[u8]) -> Result<Taken, InboundError> {
        let source =
            self.sources.iter().find(|source| source.has_signed(signature, body)).ok_or(InboundError::Signature)?;
        let event = Event::read(body)?;
        let taken = self.once(source, &event).await;
        match &taken {
            Err(InboundError::Job { job_type, source: cause }) => {
                let message = "An event of Stripe cannot become a job; it is not taken, and Stripe sends it again.";
                let cause = cause.to_string();
                // What else it says is not held up by that.
                if let Err(error) = self.wake_and_tell(source, &event, job_type, message, &cause).await {
                    tracing::warn!(error = %error, "an alert about an event of Stripe could not be raised");
                }
            }
            Ok(taken) if !taken.replayed => {
                tracing::debug!(
                    event.id,
                    event.kind = event.event_type,
                    jobs = taken.jobs.len(),
                    "an event of Stripe was taken"
                );
            }
            _ => {}
        }
        taken
    }

    async fn once(&self, source: &Source, event: &Event) -> Result<Taken, InboundError> {
        let mut tx = self.pool.begin_durable(PATIENCE).await?;
        if !store::insert(&mut tx, &source.name, event).await? {
            return Ok(Taken { id: event.id.clone(), replayed: true, jobs: Vec::new() });
        }
        // Endpoints of connected accounts in live mode are sent test events, too.
        if event.livemode != source.livemode {
            tx.commit().await?;
            tracing::info!(event.id, "an event of Stripe's other mode was taken; nothing follows from it");
            return Ok(Taken { id: event.id.clone(), replayed: false, jobs: Vec::new() });
        }
        let marked = marked(&mut tx, source, event).await?;
        let wake = wake::wake(&mut tx, marked.as_ref(), event, self.doubt_margin).await?;
        let prepared = self.prepare(&mut tx, source, event, marked.as_ref()).await?;
        let (jobs, ready) = self.enqueue(&mut tx, &prepared).await?;
        if !jobs.is_empty() {
            store::became(&mut tx, &source.name, &event.id, &jobs).await?;
        }
        tx.commit().await?;
        self.bell.ready(&ready);
        self.ring(&wake);
        Ok(Taken { id: event.id.clone(), replayed: false, jobs })
    }

    /// The jobs that the configuration makes of it, checked.
    async fn prepare(
        &self,
        tx: &mut PgConnection,
        source: &Source,
        event: &Event,
        marked: Option<&Marked>,
    ) -> Result<Vec<PreparedJob>, InboundError> {
        let wanted: Vec<_> = self.jobs.iter().filter(|job| job.event == event.event_type).collect();
        let mut prepared = Vec::with_capacity(wanted.len());
        let mut tenant = None;
        for job in wanted {
            if job.tenant.is_none() && tenant.is_none() {
                tenant = source.tenant(tx, event, marked).await?;
            }
            let Some(tenant) = job.tenant.as_ref().or(tenant.as_ref()) else {
                let message =
                    "An event of Stripe became no job: it is not known whose it is. Name a tenant in stripe.jobs.";
                alerts::raise(tx, &[alert(event, &job.job_type, message, "no tenant")]).await?;
                continue;
            };
            let new = NewJob {
                job_type: job.job_type.clone(),
                payload: event.payload(),
                priority: None,
                run_at: None,
                expires_in: None,
                metadata: None,
                tenant: tenant.clone(),
                subject: "stripe".to_owned(),
                key: Some(event.id.clone()),
                ordering_key: None,
            };
            let failed = |cause| InboundError::Job { job_type: job.job_type.clone(), source: cause };
            prepared.push(self.submitter.prepare(new).map_err(failed)?);
        }
        Ok(prepared)
    }

    async fn enqueue(
        &self,
        tx: &mut PgConnection,
        prepared: &[PreparedJob],
    ) -> Result<(Vec<JobId>, Vec<Ready>), InboundError> {
        let (mut jobs, mut ready) = (Vec::new(), Vec::new());
        for tier in Tier::ALL {
            let of_tier: Vec<_> = prepared.iter().filter(|job| job.tier() == tier).collect();
            if of_tier.is_empty() {
                continue;
            }
            let done = submit::enqueue(tx, tier, &of_tier, &self.lanes).await?;
            for (job, result) in of_tier.iter().zip(done.results) {
                let failed = |cause| InboundError::Job { job_type: job.job_type().to_owned(), source: cause };
                // A key that is held is of the same event, taken so long ago that its row is gone.
                jobs.push(result.map_err(failed)?.id());
            }
            ready.extend(done.ready);
        }
        Ok((jobs, ready))
    }

    /// What an event that is not taken brings about all the same.
    async fn wake_and_tell(
        &self,
        source: &Source,
        event: &Event,
        job_type: &str,
        message: &str,
        cause: &str,
    ) -> sqlx::Result<()> {
        let mut tx = self.pool.begin_durable(PATIENCE).await?;
        let marked = marked(&mut tx, source, event).await?;
        let wake = wake::wake(&mut tx, marked.as_ref(), event, self.doubt_margin).await?;
        alerts::raise(&mut tx, &[alert(event, job_type, message, cause)]).await?;
        tx.commit().await?;
        self.ring(&wake);
        Ok(())
    }

    fn ring(&self, wake: &Wake) {
        match wake {
            Wake::Nothing => {}
            Wake::Ready(ready) => self.bell.ready(ready),
            Wake::Sooner => self.bell.due_in(Duration::ZERO),
        }
    }
}

/// The effect that its object names, if it was made there and for whom the object says. A mark is no more than a place to look
/// at: the owner of an account can write any.
async fn marked(db: &mut PgConnection, source: &Source, event: &Event) -> sqlx::Result<Option<Marked>> {
    let Some(effect) = event.effect else { return Ok(None) };
    let marked = journal::marked(db, effect).await?;
    Ok(marked.filter(|marked| {
        marked.profile.as_ref().is_some_and(|profile| source.has_profile(profile))
            && marked.account == event.account
            && event.marked_tenant.as_ref() == Some(&marked.tenant)
    }))
}

/// Of all events of one type that meet the same: it is counted.
fn alert(event: &Event, job_type: &str, message: &str, cause: &str) -> Alert {
    Alert {
        kind: "inbound-event",
        subject: format!("stripe/{}/{job_type}", event.event_type),
        tenant: None,
        severity: Severity::Warning,
        message: message.to_owned(),
        detail: json!({ "event": event.id, "account": event.account, "cause": cause }),
    }
}
