use std::sync::{Arc, MutexGuard};

use chrono::Utc;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::Instant,
};

use super::{
    clients::{Clients, Place},
    event::{self, Mark, Position},
    live::{Item, Live, Told},
    reader, store,
    stream::{Behind, Stream},
};
use crate::{config::Events, db::Pool, ids::JobId, lifecycle::Lifecycle};

/// What a client wants to hear of. All that is there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `None`: all tenants (admins only).
    pub tenant: Option<String>,
    pub job: Option<JobId>,
    pub job_type: Option<String>,
    pub state: Option<String>,
}

impl Filter {
    pub(super) fn takes(&self, tenant: &str, job_type: &str) -> bool {
        self.tenant.as_ref().is_none_or(|own| own == tenant) && self.job_type.as_ref().is_none_or(|own| own == job_type)
    }

    /// Who follows many jobs is told that they run; progress and log lines are for those who follow the one.
    pub(super) fn takes_item(&self, item: &Item) -> bool {
        match item.told {
            Told::Running { .. } => self.state.as_deref().is_none_or(|state| state == "running"),
            Told::Progress { .. } | Told::Log { .. } => self.job.is_some() && self.state.is_none(),
        }
    }
}

/// Whose places a stream takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub tenant: Option<String>,
    pub subject: String,
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("event streams are off on this host")]
    Off,
    #[error("this host has as many streams as it may")]
    Full,
    #[error("this {of} has {most} streams on this host, which is all that it may have")]
    TooMany { most: usize, of: &'static str },
    #[error("this host is stopping")]
    Stopping,
    #[error("the log of events could not be read")]
    Database(#[from] sqlx::Error),
}

/// Clients that catch up ask the database so many at a time.
const CATCHING_UP: usize = 4;

/// Who follows, and the reader that serves them. Cheap to clone.
#[derive(Clone)]
pub struct Hub(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub pool: Pool,
    pub settings: Events,
    pub lifecycle: Lifecycle,
    pub live: Live,
    /// Who comes first begins for all.
    beginning: tokio::sync::Mutex<()>,
    pub wake: Notify,
    pub catching_up: Semaphore,
}

impl Hub {
    pub fn new(pool: &Pool, settings: &Events, lifecycle: &Lifecycle, live: &Live) -> Self {
        Self(Arc::new(Inner {
            pool: pool.clone(),
            settings: settings.clone(),
            lifecycle: lifecycle.clone(),
            live: live.clone(),
            beginning: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            catching_up: Semaphore::new(CATCHING_UP),
        }))
    }

    /// Starts the reader, which reads only while somebody follows. It ends, and with it all streams, when the host stops.
    pub fn start(&self) -> JoinHandle<()> {
        tokio::spawn(reader::run(self.clone()))
    }

    pub fn live(&self) -> &Live {
        &self.0.live
    }

    /// Events may have been committed, here or elsewhere.
    pub fn ring(&self) {
        if !self.clients().is_empty() {
            self.0.wake.notify_one();
        }
    }

    pub(super) fn clients(&self) -> MutexGuard<'_, Clients> {
        self.0.live.clients()
    }

    /// A stream from the last event that the client saw, or from now. It ends at `until`.
    pub async fn follow(
        &self,
        filter: Filter,
        who: Who,
        last: Option<Mark>,
        until: Instant,
    ) -> Result<Stream, FollowError> {
        if !self.0.settings.enabled {
            return Err(FollowError::Off);
        }
        loop {
            if self.0.lifecycle.is_stopping() {
                return Err(FollowError::Stopping);
            }
            self.begin().await?;
            let mut clients = self.clients();
            // The reader may have gone to rest meanwhile.
            let Some(place) = clients.place else { continue };
            let gap = last.and_then(|last| self.gap(&place, &last));
            let after = last.filter(|_| gap.is_none()).map_or(place.position, |last| last.position);
            let (id, frames) = clients.add(&self.0.settings, filter.clone(), who, after)?;
            drop(clients);
            self.0.live.begun(&filter);
            let mut first = vec![event::opening(&place.at(after))];
            first.extend(gap.map(event::gap));
            let behind = (after < place.position).then_some(Behind { after, end: place });
            return Ok(Stream { hub: self.clone(), id, filter, first: first.into(), after, behind, frames, until });
        }
    }

    /// Why a client cannot go on where it was.
    fn gap(&self, place: &Place, last: &Mark) -> Option<&'static str> {
        let age = Utc::now().timestamp().saturating_sub(last.at);
        if last.era != place.era {
            Some("another-era")
        } else if i64::try_from(self.0.settings.retention.as_secs()).is_ok_and(|most| age > most) {
            Some("too-old")
        } else {
            None
        }
    }

    /// Events are written from here on, and the reader reads them.
    async fn begin(&self) -> sqlx::Result<()> {
        let _turn = self.0.beginning.lock().await;
        if self.clients().place.is_some() {
            return Ok(());
        }
        let head = self.keep().await?;
        self.clients().place = Some(Place { era: head.era, position: Position::before(head.horizon) });
        self.0.wake.notify_one();
        Ok(())
    }

    /// As durable as anything: an event that was promised must not be missing after a crash.
    pub(super) async fn keep(&self) -> sqlx::Result<store::Head> {
        let mut tx = self.0.pool.begin_durable("SET LOCAL lock_timeout = '5s'").await?;
        let head = store::keep(&mut tx, self.0.settings.retention).await?;
        tx.commit().await?;
        Ok(head)
    }

    pub(super) fn leave(&self, id: u64) {
        self.clients().remove(id);
        self.0.live.reconsider();
    }

    /// All streams end.
    pub(super) fn cut_all(&self) {
        self.clients().clear();
        self.0.live.reconsider();
    }
}
